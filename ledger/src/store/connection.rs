//! Connections to Postgres: when one is taken to be alive, and those that one task keeps to itself.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgExecutor, Postgres};

use crate::error::Result;
use crate::records::settings::Settings;

/// Settings for statements that look rows up by arrays of keys: one plan that goes through the
/// indexes is right for any array and however the tables grow. Left to itself, Postgres plans anew
/// each time, or keeps a plan from when the tables were small.
pub(crate) const BY_KEYS: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("jit", "off"),
];

/// A connection that was used so recently is taken to be alive.
const ALIVE: Duration = Duration::from_secs(1);

/// A pool that asks whether a connection is alive only when it was not used for a while: otherwise
/// each statement would take twice as long.
pub(crate) fn pool_options(settings: &Settings) -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(settings.connection_wait_max)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > ALIVE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Asks Postgres for an answer.
pub(crate) async fn ping(executor: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query("select 1").execute(executor).await?;
    Ok(())
}

/// A connection of one's own for statements by keys: no other request keeps it waiting, and it stays
/// open between them.
pub(crate) struct OwnConnection {
    /// Of this one connection; opens it again when it was lost.
    pool: PgPool,
    open: Option<(PoolConnection<Postgres>, Instant)>,
}

impl OwnConnection {
    pub(crate) fn new(options: &PgConnectOptions, name: &str, settings: &Settings) -> Self {
        let options = options.clone().application_name(name).options(BY_KEYS);
        Self {
            pool: pool_options(settings)
                .max_connections(1)
                .connect_lazy_with(options),
            open: None,
        }
    }

    /// Lends the connection to some statements. One that failed is looked at before it is used again.
    pub(crate) async fn lend<T>(
        &mut self,
        run: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        let open = self.open.take();
        let mut connection = match open.filter(|(_, used)| used.elapsed() < ALIVE) {
            Some((connection, _)) => connection,
            None => self.pool.acquire().await?,
        };
        let result = run(&mut connection).await;
        if result.is_ok() {
            self.open = Some((connection, Instant::now()));
        }
        result
    }
}
