//! Opens the ledger: on the database that is named, or on the private cluster of the data folder.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use ledger::{Ledger, Schema, Settings};
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

/// What opening the books may do to an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Make one, or bring its schema up to date.
    Prepare,
    /// Only use one that is there, and as it is.
    Use,
}

impl Books {
    /// Opens the ledger, starting the private cluster where needed.
    ///
    /// # Errors
    /// Says which of these did not work, and what to do.
    pub async fn open(config: &Config, opening: Opening) -> Result<Self> {
        let private = config.database_url.is_none();
        if opening == Opening::Use && private && !Cluster::exists(&config.data_dir) {
            bail!(no_installation(config));
        }
        let secret = secret_key(config, opening)?;
        let (options, cluster) = match &config.database_url {
            Some(url) => (connect_options(url)?, None),
            None => {
                let cluster = Cluster::start(&config.data_dir).await?;
                (cluster.options(), Some(cluster))
            }
        };
        let default = Settings::default();
        let writers = config.writers.map(usize::try_from).transpose()?;
        let settings = Settings {
            pool_connections_max: config.database_connections,
            writers: writers.unwrap_or(default.writers),
            queue_messages_max: usize::try_from(config.queue_messages)?,
            delivery_retention_months: config.delivery_retention_months,
            ..default
        };
        let ledger = Ledger::connect(options, secret.sealing_key(), settings)
            .await
            .context(match cluster {
                Some(_) => "the private Postgres does not answer",
                None => "the database of DATABASE_URL does not answer",
            })?;
        let books = Self {
            ledger,
            secret,
            cluster,
        };
        match opening {
            Opening::Prepare => books
                .ledger
                .migrate()
                .await
                .context("the database schema could not be brought up to date")?,
            Opening::Use => books.check_schema(config).await?,
        }
        Ok(books)
    }

    async fn check_schema(&self, config: &Config) -> Result<()> {
        let schema = self.ledger.schema().await;
        match schema.context("the database schema could not be looked at")? {
            Schema::Current => Ok(()),
            Schema::Missing => bail!(no_installation(config)),
            Schema::Older => bail!(
                "the database schema of {} is older than this program. Bring it up to date with “tollgate migrate”, or by starting the server with “tollgate serve”",
                place(config)
            ),
            Schema::Foreign => bail!(
                "the database schema of {} is that of another version of Tollgate, which knows more than this one. Use that version",
                place(config)
            ),
        }
    }

    /// Closes the ledger; where nobody else uses the private cluster, waits until it has stopped.
    pub async fn close(self) {
        drop(self.ledger);
        if let Some(cluster) = self.cluster {
            cluster.leave().await;
        }
    }
}

fn secret_key(config: &Config, opening: Opening) -> Result<SecretKey> {
    if let Some(secret) = &config.secret_key {
        return Ok(secret.clone());
    }
    match opening {
        Opening::Prepare => SecretKey::of_data_dir(&config.data_dir),
        Opening::Use => SecretKey::find(&config.data_dir)?.with_context(|| {
            format!(
                "there is no secret key in {}. Name the data folder of the installation with --data-dir or TOLLGATE_DATA_DIR, or give the key itself in TOLLGATE_SECRET_KEY",
                looked_at(&config.data_dir)
            )
        }),
    }
}

fn no_installation(config: &Config) -> String {
    format!(
        "there is no installation in {}. Name another data folder with --data-dir or TOLLGATE_DATA_DIR, or a database with --database-url or DATABASE_URL; “tollgate serve” and “tollgate migrate” make a new one",
        place(config)
    )
}

/// Where the data lies. The address of a database is not told: it holds a password.
fn place(config: &Config) -> String {
    match config.database_url {
        Some(_) => "the database of DATABASE_URL".to_owned(),
        None => looked_at(&config.data_dir),
    }
}

/// A folder by its whole name, since “./data” is another one in each folder.
fn looked_at(data_dir: &Path) -> String {
    let absolute = std::path::absolute(data_dir);
    let data_dir = absolute.as_deref().unwrap_or(data_dir);
    format!("the data folder {}", data_dir.display())
}

fn connect_options(url: &str) -> Result<PgConnectOptions> {
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    PgConnectOptions::from_str(url)
        .ok()
        .filter(|_| is_postgres)
        // The error must not repeat the address: it holds a password.
        .context("DATABASE_URL is not of the form postgres://user:password@host/database")
}
