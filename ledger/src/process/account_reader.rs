//! Reads accounts for decisions before a call. Requests that arrive while a read is under way share
//! the next one; a lone request waits for nobody. Every decision is read from the database after it
//! was asked for: nothing is remembered.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::price::PriceBook;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::process::price_cache::PriceCache;
use crate::records::account::Amounts;
use crate::records::settings::Settings;
use crate::store::account::amounts_of;
use crate::store::connection::OwnConnection;

/// Requests in one read at most.
const READ_MAX: usize = 512;
/// Requests that may wait for the next read.
const WAITING_MAX: usize = 10_000;

/// What a decision is made from: the account, the time and the price book.
#[derive(Clone)]
pub(crate) struct AccountSnapshot {
    pub book: Arc<PriceBook>,
    pub now: Timestamp,
    pub amounts: Amounts,
}

struct Request {
    account_id: Uuid,
    answer: oneshot::Sender<AccountSnapshot>,
}

/// The queue before the reader.
pub(crate) struct AccountReader(mpsc::Sender<Request>);

impl AccountReader {
    /// Starts the reader; it ends when this is dropped.
    pub(crate) fn start(
        options: &PgConnectOptions,
        prices: &PriceCache,
        settings: &Settings,
    ) -> Self {
        let connection = OwnConnection::new(options, "tollgate reader", settings);
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(connection, prices.clone(), waiting));
        Self(queue)
    }

    /// The account as it is now, or an empty one, and the prices that are in force.
    ///
    /// # Errors
    /// `Busy` when too many wait, or Postgres is away.
    pub(crate) async fn read(&self, account_id: Uuid) -> Result<AccountSnapshot> {
        let (answer, snapshot) = oneshot::channel();
        let request = Request { account_id, answer };
        self.0.try_send(request).map_err(|_| Error::Busy)?;
        snapshot.await.map_err(|_| Error::Busy)
    }
}

async fn run(
    mut connection: OwnConnection,
    prices: PriceCache,
    mut waiting: mpsc::Receiver<Request>,
) {
    let mut requests = Vec::with_capacity(READ_MAX);
    while waiting.recv_many(&mut requests, READ_MAX).await > 0 {
        let ids: Vec<_> = requests.iter().map(|request| request.account_id).collect();
        let snapshots = connection.lend(async |connection| read(connection, &prices, &ids).await);
        match snapshots.await {
            Ok(snapshots) => {
                for (request, snapshot) in requests.drain(..).zip(snapshots) {
                    // A caller that has gone away needs no answer.
                    drop(request.answer.send(snapshot));
                }
            }
            Err(error) => {
                warn!(requests = requests.len(), %error, "accounts could not be read");
                requests.clear();
            }
        }
    }
}

async fn read(
    connection: &mut PgConnection,
    prices: &PriceCache,
    ids: &[Uuid],
) -> Result<Vec<AccountSnapshot>> {
    let rows = amounts_of(connection, ids).await?;
    let revision = rows.first().map_or(0, |row| row.price_revision);
    let book = prices.at_revision(connection, revision).await?;
    let snapshots = rows.iter().map(|row| AccountSnapshot {
        book: Arc::clone(&book),
        now: row.read_at.into(),
        amounts: row.amounts(),
    });
    Ok(snapshots.collect())
}
