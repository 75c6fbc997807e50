//! A running cluster, and who uses it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::error::{ClusterError, Result};
use crate::folder::remove_folder;
use crate::installation::{Postgres, find_on_path};
use crate::log::Log;
use crate::place::ClusterHome;
use crate::settings::{Durability, NAME, PORT};
use crate::{initdb, location, lock, settings, supervisor};

/// Long enough for crash recovery of a busy ledger.
const READY_SECONDS_MAX: u64 = 120;
/// Failed starts in a row after which waiting longer is pointless.
const FAILED_STARTS_MAX: usize = 8;

/// A running cluster; it keeps running at least until this is dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    socket_folder: PathBuf,
    /// The shared lock: while this file is open, Postgres stays.
    users: File,
}

impl Cluster {
    /// Joins the cluster of a data folder, and starts it, or makes it, when it is not there.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing and what to do.
    pub async fn start(data_dir: &Path) -> Result<Self> {
        Self::start_with(data_dir, Durability::Full).await
    }

    /// Whether a data folder has a cluster, also one that only another user may enter. Changes nothing.
    #[must_use]
    pub fn exists(data_dir: &Path) -> bool {
        let elsewhere = location::read(data_dir);
        let folders = [Some(data_dir.join("postgres")), elsewhere];
        folders.into_iter().flatten().any(|folder| {
            let version = std::fs::metadata(folder.join("data/PG_VERSION"));
            version.map_or_else(
                |error| error.kind() == ErrorKind::PermissionDenied,
                |_| true,
            )
        })
    }

    /// As [`Cluster::start`]. The durability is that of whoever starts Postgres; those who join
    /// later take it as it is.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing and what to do.
    pub async fn start_with(data_dir: &Path, durability: Durability) -> Result<Self> {
        Self::begin(data_dir, durability, false).await
    }

    /// A disposable cluster that those share who come while it is in use. For the first one it is
    /// empty: nothing is left of earlier times.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing and what to do.
    pub async fn start_empty(data_dir: &Path) -> Result<Self> {
        Self::begin(data_dir, Durability::Disposable, true).await
    }

    async fn begin(data_dir: &Path, durability: Durability, empty: bool) -> Result<Self> {
        for program in ["flock", "setsid"] {
            if find_on_path(program).is_none() {
                return Err(ClusterError::ProgramNotFound(program));
            }
        }
        let place = ClusterHome::choose(data_dir)?;
        let users = lock::open(&place, lock::USERS)?;
        lock::wait(&place.folder.join(lock::USERS), || users.try_lock_shared()).await?;
        let starting = lock::open(&place, lock::START)?;
        lock::wait(&place.folder.join(lock::START), || starting.try_lock()).await?;

        let is_stopped = !lock::supervisor_lives(&place)?;
        // One whose supervisor was killed goes on with its data: its Postgres may still run.
        if is_stopped && empty && !place.data.join("postmaster.pid").exists() {
            remove_folder(&place.data)?;
        }
        let log = Log::open_at_end(&place)?;
        if is_stopped {
            let postgres = Postgres::find(&place.data).await?;
            if !place.data.join("PG_VERSION").exists() {
                initdb::run(&postgres, &place, durability).await?;
            }
            let settings = settings::of(&postgres, &place, durability).await?;
            supervisor::start(&postgres, &place, &settings)?;
        }
        let cluster = Self {
            socket_folder: place.socket_folder.clone(),
            folder: place.folder,
            users,
        };
        cluster.wait_until_ready(&log).await?;
        cluster.create_database(NAME).await?;
        Ok(cluster)
    }

    /// How to connect to the database `tollgate`.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.options_for(NAME)
    }

    /// How to connect to any database of the cluster.
    #[must_use]
    pub fn options_for(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_folder)
            .port(PORT)
            .username(NAME)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Creates a database unless it exists, and says how to connect to it.
    ///
    /// # Errors
    /// [`ClusterError::NotADatabaseName`], or what Postgres answered.
    pub async fn create_database(&self, database: &str) -> Result<PgConnectOptions> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if database.is_empty() || !database.bytes().all(is_plain) {
            return Err(ClusterError::NotADatabaseName(database.to_owned()));
        }
        let mut connection = self.options_for("postgres").connect().await?;
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(database)
                .fetch_one(&mut connection)
                .await?;
        if !exists {
            // The name consists of plain characters only, as checked above.
            sqlx::query(AssertSqlSafe(format!("create database \"{database}\"")))
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        Ok(self.options_for(database))
    }

    /// The folder of the cluster: its data, locks and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the socket, for whoever connects by a URL.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.socket_folder
    }

    /// Leaves the cluster and, if nobody else uses it, waits until Postgres has stopped. Dropping
    /// leaves it too, but does not wait; where the end of this process ends all others with it (a
    /// container), waiting spares Postgres a crash recovery.
    pub async fn leave(self) {
        let Self { folder, users, .. } = self;
        drop(users);
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut shared_by_others = 0;
        while Instant::now() < deadline && shared_by_others < 5 {
            if lock::is_free(&folder.join(lock::SUPERVISOR)) {
                return;
            }
            // While the supervisor stops Postgres it has the exclusive lock. That a shared one is
            // granted all the time means that somebody else has one.
            let users = File::open(folder.join(lock::USERS));
            if users.is_ok_and(|users| users.try_lock_shared().is_ok()) {
                shared_by_others += 1;
            } else {
                shared_by_others = 0;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_until_ready(&self, log: &Log) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        loop {
            match PgConnection::connect_with(&self.options_for("postgres")).await {
                Ok(connection) => {
                    connection.close().await?;
                    return Ok(());
                }
                Err(_) if Instant::now() < deadline && log.failed_starts() < FAILED_STARTS_MAX => {
                    sleep(Duration::from_millis(30)).await;
                }
                Err(_) => {
                    return Err(ClusterError::NotReady {
                        lines: log.last_lines(),
                        log: log.path.clone(),
                    });
                }
            }
        }
    }
}
