//! The only crate that speaks SQL. One [`Ledger`] per process; each file holds one part of it.
//!
//! Lock order, for everything that writes: the idempotency key, the price lock, then accounts by id,
//! then messages.

mod accounts;
mod administrators;
mod api_keys;
mod audit;
mod calls;
mod chain;
mod completeness;
mod connection;
mod consumption;
mod corrections;
mod credits;
mod deliveries;
mod error;
mod estimate;
mod history;
mod holds;
mod idempotency;
mod jobs;
mod journal;
mod live;
mod locked;
mod page;
mod paused;
mod prices;
mod quarantine;
mod rerate;
mod rollups;
mod schema;
mod sealing;
mod sessions;
mod sources;
mod states;
mod traces;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};

pub use accounts::Grant;
pub use api_keys::{ApiKey, ApiKeySummary, CreatedKey, Scope};
pub use audit::Actor;
pub use calls::{CallCheck, CallEstimate};
pub use completeness::CompletenessShare;
pub use consumption::{Delivery, Difference as SightingDifference, Entrance, SightingSummary};
pub use error::{Error, Result};
pub use idempotency::IdempotencyKey;
pub use jobs::JobSummary;
pub use live::LivePage;
pub use paused::{ForgottenRun, PausedRun, Taken};
pub use prices::NewPrice;
pub use rerate::{Difference, Rerating};
pub use schema::Schema;
pub use sealing::SealingKey;
pub use sessions::{NewSession, Visitor};
pub use sources::{LastDelivery, NewSource, SourceSummary};
pub use traces::TraceEvent;
pub use verify::{Finding, VerifyReport};

/// Bounds of one process's ledger.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections to Postgres, beside those that write messages, the one
    /// that reads accounts and the one that listens.
    pub pool_connections_max: u32,
    /// Who waits longer than this for a connection is told to come again. A fifth of it is also the
    /// longest pause between two attempts to connect: how late a Postgres that came back is noticed.
    pub connection_wait_max: Duration,
    /// Transactions that write messages at the same time.
    pub writers: usize,
    /// Messages that may wait for the next commit; one more is answered with "busy".
    pub queue_messages_max: usize,
    /// Tokens one message may report; one with more waits for an administrator.
    pub message_tokens_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pool_connections_max: 10,
            connection_wait_max: Duration::from_secs(5),
            writers: 2,
            queue_messages_max: 10_000,
            message_tokens_max: 20_000_000,
        }
    }
}

/// The books. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    sealing: SealingKey,
    prices: prices::Cache,
    keys: api_keys::Cache,
    group: consumption::Group,
    states: states::Reader,
    live: live::Signal,
}

impl Ledger {
    /// Opens the pool and starts the tasks that commit messages in groups and listen for other
    /// processes' changes. They end with the last clone.
    ///
    /// # Errors
    /// [`Error::Database`] when Postgres cannot be reached.
    pub async fn connect(
        options: PgConnectOptions,
        sealing: SealingKey,
        settings: Settings,
    ) -> Result<Self> {
        // One plain attempt first: the pool would try again until it gives up, and hide the cause.
        PgConnection::connect_with(&options).await?.close().await?;
        let pool = connection::pool_options(&settings)
            .max_connections(settings.pool_connections_max)
            .connect_with(options.clone().application_name("tollgate"))
            .await?;
        let prices = prices::Cache::default();
        let live = live::Signal::default();
        let keys = api_keys::Cache::default();
        let group = consumption::Group::start(&options, &prices, &live, &settings);
        let states = states::Reader::start(&options, &prices, &settings);
        live::listen(pool.clone(), &live, keys.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                sealing,
                prices,
                keys,
                group,
                states,
                live,
            }),
        })
    }

    /// Brings the schema up to date; safe to run from several processes at once.
    ///
    /// # Errors
    /// [`Error::Migration`] names the migration that failed.
    pub async fn migrate(&self) -> Result<()> {
        schema::MIGRATIONS.run(self.pool()).await?;
        self.maintain().await
    }

    /// What must be done once a day: partitions for the months ahead; expired sessions, old
    /// idempotency keys and delivered traces away.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn maintain(&self) -> Result<()> {
        let mut tx = self.pool().begin().await?;
        // Two processes that start together must not both create a partition.
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(MAINTENANCE_LOCK)
            .execute(&mut *tx)
            .await?;
        sqlx::query("select ensure_partitions($1)")
            .bind(PARTITION_MONTHS_AHEAD)
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from session where expires_at < now()")
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from sign_in_failure where window_start < now() - interval '1 day'")
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from idempotency where created_at < now() - interval '30 days'")
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "delete from trace where due_at is null and seen_at < now() - interval '3 days'",
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether Postgres answers.
    ///
    /// # Errors
    /// [`Error::Database`] when it does not.
    pub async fn ready(&self) -> Result<()> {
        sqlx::query("select 1").execute(self.pool()).await?;
        Ok(())
    }

    fn pool(&self) -> &PgPool {
        &self.inner.pool
    }
}

const PARTITION_MONTHS_AHEAD: i32 = 6;
/// Advisory lock keys: arbitrary, distinct, only ever used here.
const MAINTENANCE_LOCK: i64 = 0x746f_6c6c_0001;
pub(crate) const PRICE_LOCK: i64 = 0x746f_6c6c_0002;
