//! A server with its data, as an operator sets one up.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use ledger::{Actor, Ledger, SealingKey, Settings};
use private_postgres::PgConnectOptions;
use serde::Deserialize;
use testkit::provider;
use tokio::process::Command;

use crate::place::Databases;
use crate::process::{self, ServerProcess};
use crate::traffic::{MODEL, user_name};

/// The program that is measured, and the database that it works on.
pub struct Gate<'a> {
    pub tollgate: &'a Path,
    pub databases: &'a Databases,
    pub database: &'static str,
}

const GRANTS_AT_ONCE: u32 = 16;

#[derive(Deserialize)]
struct Key {
    key: String,
}

impl Gate<'_> {
    /// The program with a command and the settings of this database, for the rest its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = process::command(self.tollgate);
        command
            .args(arguments)
            .env("TOLLGATE_DATA_DIR", &self.databases.data_dir)
            .env("DATABASE_URL", self.databases.url(self.database))
            .env("TOLLGATE_ADDR", "127.0.0.1:0");
        command
    }

    pub async fn serve(&self) -> Result<ServerProcess> {
        let log = self
            .databases
            .data_dir
            .join(format!("{}.log", self.database));
        ServerProcess::start(self.command(&["serve"]), &log).await
    }

    /// Makes the installation.
    pub async fn install(&self) -> Result<()> {
        process::output(self.command(&["migrate"]), "")
            .await
            .map(drop)
    }

    pub async fn price(&self, model: &str) -> Result<()> {
        let arguments = [
            "price", "set", "--model", model, "--input", "30", "--output", "60",
        ];
        process::output(self.command(&arguments), "")
            .await
            .map(drop)
    }

    pub async fn key(&self, scope: &str) -> Result<String> {
        let arguments = ["key", "create", "--name", scope, "--scope", scope, "--json"];
        let created = process::output(self.command(&arguments), "").await?;
        let key: Key = serde_json::from_str(&created).context("the created key")?;
        Ok(key.key)
    }

    /// The key of a source in front of that Dify.
    pub async fn gateway(&self, dify: SocketAddr) -> Result<String> {
        let more = [
            "--model",
            MODEL,
            "--estimated-input",
            "1000",
            "--estimated-output",
            "100",
        ];
        self.source("gateway", dify, "app-bench", &more).await
    }

    /// The key of a source in front of that model provider.
    pub async fn openai(&self, provider: SocketAddr) -> Result<String> {
        self.source("openai", provider, provider::KEY, &[]).await
    }

    async fn source(
        &self,
        entrance: &str,
        upstream: SocketAddr,
        upstream_key: &str,
        more: &[&str],
    ) -> Result<String> {
        let upstream = format!("http://{upstream}/v1");
        let create = ["source", "create", "--name", "bench", "--json"];
        let mut command = self.command(&create);
        command
            .args(["--entrance", entrance])
            .args(["--upstream", &upstream])
            .args(["--upstream-key", upstream_key])
            .args(more);
        let created = process::output(command, "").await?;
        let key: Key = serde_json::from_str(&created).context("the created source")?;
        Ok(key.key)
    }

    /// Runs a statement on the database and gives what it selects.
    pub async fn sql(&self, statement: &str) -> Result<String> {
        self.databases.sql(self.database, statement, &[]).await
    }

    /// The books, in this process.
    pub async fn ledger(&self, connections: u32) -> Result<Ledger> {
        let options: PgConnectOptions = self.databases.url(self.database).parse()?;
        // Nothing that is sealed is touched here.
        let sealing = SealingKey::from_bytes([0; 32]);
        let settings = Settings {
            // Also what the ledger keeps for itself.
            pool_connections_max: connections + 4,
            ..Settings::default()
        };
        Ok(Ledger::connect(options, sealing, settings).await?)
    }

    /// Gives users more points than a run can use up.
    pub async fn give_points(&self, users: Range<u32>) -> Result<()> {
        let ledger = self.ledger(GRANTS_AT_ONCE).await?;
        let actor = Actor {
            name: "bench".to_owned(),
            origin: "bench".to_owned(),
        };
        let points = "1000000000".parse().context("points")?;
        stream::iter(users)
            .map(anyhow::Ok)
            .try_for_each_concurrent(usize::try_from(GRANTS_AT_ONCE)?, async |user| {
                let user = user_name(user).parse().context("a user")?;
                ledger
                    .add_points(&user, points, "for a measurement", &actor)
                    .await?;
                Ok(())
            })
            .await
    }
}
