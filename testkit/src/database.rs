//! One throw-away cluster for all tests that run at the same time, and a database for each of them.

use std::fs;
use std::time::Duration;

use ledger::{Ledger, SealingKey, Settings};
use private_postgres::{Cluster, PgConnectOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::folder;

/// Copied for each test: all the migrations take longer than most tests.
const TEMPLATE: &str = "migrated";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
/// How many deadlocks its log told of when this process came: it keeps what earlier ones did.
static DEADLOCKS_BEFORE: OnceCell<usize> = OnceCell::const_new();

/// The cluster. It ends with the last process that uses it, and the next one empties it.
pub async fn cluster() -> &'static Cluster {
    CLUSTER
        .get_or_init(|| async {
            let cluster = Cluster::start_empty(&folder::of_all_tests().join("tests"))
                .await
                .expect("a Postgres for the tests");
            let before = deadlocks_in_log(&cluster);
            DEADLOCKS_BEFORE.get_or_init(async || before).await;
            cluster
        })
        .await
}

/// How often Postgres had to end a deadlock since this process came.
pub async fn deadlocks() -> usize {
    let all = deadlocks_in_log(cluster().await);
    all - DEADLOCKS_BEFORE.get().expect("it is counted at the start")
}

fn deadlocks_in_log(cluster: &Cluster) -> usize {
    let log = fs::read_to_string(cluster.folder().join("postgres.log")).expect("a log");
    log.matches("deadlock detected").count()
}

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct Database {
    cluster: &'static Cluster,
    name: String,
}

impl Database {
    /// One without any table.
    pub async fn empty() -> Self {
        let database = Self::new().await;
        let created = database.cluster.create_database(&database.name).await;
        created.expect("a database for the test");
        database
    }

    /// One with the current schema.
    pub async fn migrated() -> Self {
        let database = Self::new().await;
        let connected = database.cluster.options().connect().await;
        let mut connection = connected.expect("a connection");
        ensure_template(database.cluster, &mut connection).await;
        let create = format!("create database {} template {TEMPLATE}", database.name);
        let created = connection.execute(AssertSqlSafe(create)).await;
        created.expect("a database for the test");
        connection.close().await.expect("closed");
        database
    }

    async fn new() -> Self {
        Self {
            cluster: cluster().await,
            // Other processes may share the cluster, and process ids come again.
            name: format!("test_{}", Uuid::now_v7().simple()),
        }
    }

    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.cluster.options_for(&self.name)
    }

    /// As `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres:///{}?user=tollgate&host={}",
            self.name,
            self.cluster.socket_folder().display()
        )
    }
}

/// Whoever comes first makes it; `connection` is held until it is there.
async fn ensure_template(cluster: &Cluster, connection: &mut PgConnection) {
    sqlx::query("select pg_advisory_lock(1)")
        .execute(&mut *connection)
        .await
        .expect("the lock of the template");
    let is_there: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(TEMPLATE)
            .fetch_one(&mut *connection)
            .await
            .expect("an answer");
    if !is_there {
        let made = cluster.create_database("being_migrated").await;
        let ledger = connect(made.expect("a database to copy")).await;
        ledger.migrate().await.expect("the schema");
        drop(ledger);
        let rename = format!("alter database being_migrated rename to {TEMPLATE}");
        let renamed = connection.execute(AssertSqlSafe(rename)).await;
        renamed.expect("a name for what is copied");
    }
}

async fn connect(options: PgConnectOptions) -> Ledger {
    let settings = Settings {
        pool_connections_max: 4,
        connection_wait_max: Duration::from_secs(120),
        ..Settings::default()
    };
    Ledger::connect(options, SealingKey::from_bytes([7; 32]), settings)
        .await
        .expect("a ledger")
}
