//! Opens the ledger: on the database that is named, or on the private cluster of the data folder.

use std::str::FromStr;

use anyhow::{Context, Result};
use ledger::{Ledger, Settings};
use private_postgres::{Cluster, PgConnectOptions};

use crate::config::Config;
use crate::secret::SecretKey;

/// An open ledger with the current schema, and what keeps it open.
pub struct Books {
    pub ledger: Ledger,
    pub secret: SecretKey,
    /// The private cluster, when it is in use; it runs at least as long as this lives.
    pub cluster: Option<Cluster>,
}

impl Books {
    /// Opens the ledger, starting the private cluster and updating the schema where needed.
    ///
    /// # Errors
    /// Says which of these did not work, and what to do.
    pub async fn open(config: &Config) -> Result<Self> {
        let secret = match &config.secret_key {
            Some(secret) => secret.clone(),
            None => SecretKey::of_data_dir(&config.data_dir)?,
        };
        let (options, cluster) = match &config.database_url {
            Some(url) => (connect_options(url)?, None),
            None => {
                let cluster = Cluster::start(&config.data_dir).await?;
                (cluster.options(), Some(cluster))
            }
        };
        let settings = Settings {
            pool_connections_max: config.database_connections,
            queue_messages_max: usize::try_from(config.queue_messages)?,
            ..Settings::default()
        };
        let ledger = Ledger::connect(options, secret.sealing_key(), settings)
            .await
            .context(match cluster {
                Some(_) => "the private Postgres does not answer",
                None => "the database of DATABASE_URL does not answer",
            })?;
        ledger
            .migrate()
            .await
            .context("the database schema could not be brought up to date")?;
        Ok(Self {
            ledger,
            secret,
            cluster,
        })
    }

    /// Closes the ledger; where nobody else uses the private cluster, waits until it has stopped.
    pub async fn close(self) {
        drop(self.ledger);
        if let Some(cluster) = self.cluster {
            cluster.leave().await;
        }
    }
}

fn connect_options(url: &str) -> Result<PgConnectOptions> {
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    PgConnectOptions::from_str(url)
        .ok()
        .filter(|_| is_postgres)
        // The error must not repeat the address: it holds a password.
        .context("DATABASE_URL is not of the form postgres://user:password@host/database")
}
