//! What a decision before a call is made from: the account, the time and the price book. Requests
//! that arrive while a read is under way share the next one; a lone request waits for nobody. Every
//! decision is read from the database after it was asked for: nothing is remembered.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::price::PriceBook;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;
use uuid::Uuid;

use crate::accounts::Amounts;
use crate::connection::OwnConnection;
use crate::error::{BUSY, Result};
use crate::{Ledger, Settings, chain, prices};

/// Requests in one read at most.
const READ_MAX: usize = 512;
/// Requests that may wait for the next read.
const WAITING_MAX: usize = 10_000;

/// What a decision is made from.
#[derive(Clone)]
pub(crate) struct State {
    pub book: Arc<PriceBook>,
    pub now: Timestamp,
    pub amounts: Amounts,
}

struct Request {
    account_id: Uuid,
    answer: oneshot::Sender<State>,
}

/// The queue before the reader.
pub(crate) struct Reader(mpsc::Sender<Request>);

impl Reader {
    /// Starts the reader; it ends when this is dropped.
    pub(crate) fn start(
        options: &PgConnectOptions,
        prices: &prices::Cache,
        settings: &Settings,
    ) -> Self {
        let connection = OwnConnection::new(options, "tollgate reader", settings);
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(connection, prices.clone(), waiting));
        Self(queue)
    }
}

async fn run(
    mut connection: OwnConnection,
    prices: prices::Cache,
    mut waiting: mpsc::Receiver<Request>,
) {
    let mut requests = Vec::with_capacity(READ_MAX);
    while waiting.recv_many(&mut requests, READ_MAX).await > 0 {
        let ids: Vec<_> = requests.iter().map(|request| request.account_id).collect();
        let states = connection.lend(async |connection| read(connection, &prices, &ids).await);
        match states.await {
            Ok(states) => {
                for (request, state) in requests.drain(..).zip(states) {
                    // A caller that has gone away needs no answer.
                    drop(request.answer.send(state));
                }
            }
            Err(error) => {
                warn!(requests = requests.len(), %error, "accounts could not be read");
                requests.clear();
            }
        }
    }
}

/// Time, price revision, and balance, held points and debt limit of one account.
type Row = (OffsetDateTime, i64, i64, i64, i64);

async fn read(
    connection: &mut PgConnection,
    prices: &prices::Cache,
    ids: &[Uuid],
) -> Result<Vec<State>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select clock_timestamp(), (select coalesce(max(price_version_id), 0) from price_version),
                coalesce(a.balance_nano, 0), coalesce(a.held_nano, 0), coalesce(a.debt_limit_nano, 0)
         from unnest($1::uuid[]) with ordinality as k (account_id, place)
         left join account a on a.account_id = k.account_id order by k.place",
    )
    .bind(ids)
    .fetch_all(&mut *connection)
    .await?;
    let revision = rows.first().map_or(0, |row| row.1);
    let book = prices.at_revision(connection, revision).await?;
    let states = rows
        .into_iter()
        .map(|(now, _, balance_nano, held_nano, debt_limit_nano)| State {
            book: Arc::clone(&book),
            now: now.into(),
            amounts: Amounts {
                balance_nano,
                held_nano,
                debt_limit_nano,
            },
        });
    Ok(states.collect())
}

impl Ledger {
    /// The account as it is now, or an empty one, and the prices that are in force.
    ///
    /// # Errors
    /// `Busy` when too many wait, or Postgres is away.
    pub(crate) async fn state_of(&self, user: Option<&UserId>) -> Result<State> {
        let (answer, state) = oneshot::channel();
        let request = Request {
            account_id: user.map_or(Uuid::nil(), chain::account_id),
            answer,
        };
        self.inner.states.0.try_send(request).map_err(|_| BUSY)?;
        Ok(state.await.map_err(|_| BUSY)?)
    }
}
