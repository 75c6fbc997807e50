//! One process's access to the books.

use std::sync::Arc;

use shared::ids::UserId;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use uuid::Uuid;

use crate::charging::queue::CommitQueue;
use crate::error::Result;
use crate::process::account_reader::{AccountReader, AccountSnapshot};
use crate::process::feed_signal::{FeedSignal, listen};
use crate::process::key_cache::KeyCache;
use crate::process::price_cache::PriceCache;
use crate::records::hash::account_id;
use crate::records::sealing::SealingKey;
use crate::records::settings::Settings;
use crate::store::connection::{ping, pool_options};

/// The books. Cheap to clone; one for each process.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pool: PgPool,
    pub(crate) sealing: SealingKey,
    pub(crate) prices: PriceCache,
    pub(crate) keys: KeyCache,
    pub(crate) queue: CommitQueue,
    accounts: AccountReader,
    pub(crate) feed: FeedSignal,
    pub(crate) delivery_retention_months: u16,
}

impl Ledger {
    /// Opens the pool and starts the tasks that commit messages in groups and listen for other
    /// processes' changes. They end with the last clone.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database) when Postgres cannot be reached.
    pub async fn connect(
        options: PgConnectOptions,
        sealing: SealingKey,
        settings: Settings,
    ) -> Result<Self> {
        // One plain attempt first: the pool would try again until it gives up, and hide the cause.
        PgConnection::connect_with(&options).await?.close().await?;
        let pool = pool_options(&settings)
            .max_connections(settings.pool_connections_max)
            .connect_with(options.clone().application_name("tollgate"))
            .await?;
        let prices = PriceCache::default();
        let feed = FeedSignal::default();
        let keys = KeyCache::default();
        let queue = CommitQueue::start(&options, &prices, &feed, &settings);
        let accounts = AccountReader::start(&options, &prices, &settings);
        listen(pool.clone(), &feed, keys.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                sealing,
                prices,
                keys,
                queue,
                accounts,
                feed,
                delivery_retention_months: settings.delivery_retention_months,
            }),
        })
    }

    /// Whether Postgres answers.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database) when it does not.
    pub async fn ready(&self) -> Result<()> {
        ping(self.pool()).await
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// What a decision about a call is made from: a user's account, or an empty one.
    ///
    /// # Errors
    /// `Busy` when too many wait, or Postgres is away.
    pub(crate) async fn snapshot(&self, user: Option<&UserId>) -> Result<AccountSnapshot> {
        let account_id = user.map_or(Uuid::nil(), account_id);
        self.inner.accounts.read(account_id).await
    }
}
