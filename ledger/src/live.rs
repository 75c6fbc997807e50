//! The live feed: deliveries in an order that a reader can resume without gap or repeat.
//!
//! Identity values are handed out before commit, so reading "after the last id" could skip a row
//! that commits late. The feed is therefore ordered by (transaction, id), and shows only
//! transactions older than the oldest one still running: nothing can appear behind a reader.

use std::sync::{Arc, Weak};
use std::time::Duration;

use shared::api::{LiveEvent, Outcome};
use shared::money::Points;
use shared::problem::{FieldFault, Problem};
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{PgPool, Row};
use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use crate::Ledger;
use crate::api_keys;
use crate::error::{Error, Result};

const DELIVERY_CHANNEL: &str = "tollgate_delivery";
pub(crate) const KEY_CHANNEL: &str = "tollgate_key";

/// Between two notifications. Whoever looks once sees all that was committed before.
const TELL_PAUSE: Duration = Duration::from_millis(20);

/// Whether the feed may have grown.
#[derive(Clone)]
pub(crate) struct Signal {
    grown: Arc<watch::Sender<()>>,
    /// By this process.
    committed: Arc<watch::Sender<()>>,
}

impl Default for Signal {
    fn default() -> Self {
        Self {
            grown: Arc::new(watch::Sender::new(())),
            committed: Arc::new(watch::Sender::new(())),
        }
    }
}

impl Signal {
    /// This process has committed deliveries.
    pub(crate) fn committed(&self) {
        self.grown.send_replace(());
        self.committed.send_replace(());
    }
}

/// Hears what other processes commit, and tells them what this one does. Ends with the last clone of
/// the signal, which the ledger holds, or when the pool is closed.
pub(crate) fn listen(pool: PgPool, live: &Signal, keys: api_keys::Cache) {
    let this_process = Uuid::now_v7().to_string();
    tokio::spawn(tell(
        pool.clone(),
        live.committed.subscribe(),
        this_process.clone(),
    ));
    let mut committed = live.committed.subscribe();
    let live = Arc::downgrade(&live.grown);
    tokio::spawn(async move {
        let hear_on = async {
            while !pool.is_closed() {
                if let Err(error) = hear(&pool, &live, &keys, &this_process).await {
                    warn!(%error, "listening to postgres was interrupted");
                }
                keys.distrust();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = hear_on => {}
            () = async { while committed.changed().await.is_ok() {} } => {}
        }
    });
}

/// Notifies now and then, in transactions of its own: Postgres lets transactions that notify commit
/// only one after the other, each with its wait for the disk. A notification that is lost with its
/// process costs others nothing but the time until they look by themselves.
async fn tell(pool: PgPool, mut committed: watch::Receiver<()>, this_process: String) {
    while committed.changed().await.is_ok() && !pool.is_closed() {
        let told =
            sqlx::query("select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)")
                .bind(DELIVERY_CHANNEL)
                .bind(&this_process)
                .execute(&pool)
                .await;
        if let Err(error) = told {
            warn!(%error, "other processes were not told of new deliveries");
        }
        tokio::time::sleep(TELL_PAUSE).await;
    }
}

async fn hear(
    pool: &PgPool,
    live: &Weak<watch::Sender<()>>,
    keys: &api_keys::Cache,
    this_process: &str,
) -> std::result::Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all([DELIVERY_CHANNEL, KEY_CHANNEL]).await?;
    keys.trust();
    // What was committed while nobody listened.
    signal(live);
    // `None` means that the connection was lost and messages with it.
    while let Some(notification) = listener.try_recv().await? {
        if notification.channel() == KEY_CHANNEL {
            keys.clear();
        } else if notification.payload() != this_process {
            signal(live);
        }
    }
    Ok(())
}

fn signal(live: &Weak<watch::Sender<()>>) {
    if let Some(live) = live.upgrade() {
        live.send_replace(());
    }
}

/// A stretch of the feed.
#[derive(Debug, Clone)]
pub struct LivePage {
    /// Oldest first.
    pub events: Vec<LiveEvent>,
    /// Where to go on; the given one when there was nothing.
    pub cursor: String,
    /// More is there already.
    pub has_more: bool,
    /// Rows are committed that an older running transaction still holds back: look again soon.
    pub is_held_back: bool,
}

/// Before everything.
const START: &str = "0-0";

impl Ledger {
    /// The newest deliveries.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn live_latest(&self, limit: u32) -> Result<LivePage> {
        let mut rows = sqlx::query(
            "select d.*, d.tx::text as tx_text, k.name as source
             from delivery d join api_key k using (api_key_id)
             where d.tx < pg_snapshot_xmin(pg_current_snapshot())
             order by d.tx desc, d.id desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        rows.reverse();
        let events = rows.iter().map(event).collect::<Result<Vec<_>>>()?;
        Ok(LivePage {
            cursor: events
                .last()
                .map_or_else(|| START.to_owned(), |event| event.cursor.clone()),
            events,
            has_more: false,
            is_held_back: false,
        })
    }

    /// What came after a cursor, up to `limit` deliveries.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `after`.
    pub async fn live_after(&self, cursor: &str, limit: u32) -> Result<LivePage> {
        let (tx, id) = parse_cursor(cursor)?;
        let rows = sqlx::query(
            "select d.*, d.tx::text as tx_text, k.name as source,
                    d.tx >= pg_snapshot_xmin(pg_current_snapshot()) as is_held_back
             from delivery d join api_key k using (api_key_id)
             where (d.tx, d.id) > ($1::text::xid8, $2)
             order by d.tx, d.id limit $3",
        )
        .bind(tx.to_string())
        .bind(id)
        .bind(i64::from(limit) + 1)
        .fetch_all(self.pool())
        .await?;
        let mut page = LivePage {
            events: Vec::with_capacity(rows.len()),
            cursor: cursor.to_owned(),
            has_more: false,
            is_held_back: false,
        };
        let events_max = usize::try_from(limit).unwrap_or(usize::MAX);
        for row in &rows {
            if row.try_get("is_held_back")? {
                page.is_held_back = true;
                break;
            }
            if page.events.len() == events_max {
                page.has_more = true;
                break;
            }
            let event = event(row)?;
            page.cursor.clone_from(&event.cursor);
            page.events.push(event);
        }
        Ok(page)
    }

    /// Changes when [`Ledger::live_after`] may have something new. What another process committed
    /// may stay untold: look now and then all the same.
    #[must_use]
    pub fn live_signal(&self) -> watch::Receiver<()> {
        self.inner.live.grown.subscribe()
    }
}

fn parse_cursor(cursor: &str) -> Result<(u64, i64)> {
    let parse = || {
        let (tx, id) = cursor.split_once('-')?;
        Some((tx.parse().ok()?, id.parse().ok()?))
    };
    parse().ok_or_else(|| Problem::field("after", FieldFault::NotACursor).into())
}

pub(crate) fn outcome(text: &str) -> Result<Outcome> {
    Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("outcome {text}")))
}

fn event(row: &PgRow) -> Result<LiveEvent> {
    let tx: &str = row.try_get("tx_text")?;
    let id: i64 = row.try_get("id")?;
    let tokens = |column| -> Result<u64> {
        u64::try_from(row.try_get::<i64, _>(column)?)
            .map_err(|_| Error::corrupt("a negative token count"))
    };
    Ok(LiveEvent {
        cursor: format!("{tx}-{id}"),
        received_at: row.try_get::<OffsetDateTime, _>("received_at")?.into(),
        outcome: outcome(row.try_get("outcome")?)?,
        source: row.try_get("source")?,
        user_id: row.try_get("user_id")?,
        model_name: row.try_get("model_name")?,
        message_id: row.try_get("message_id")?,
        input_tokens: tokens("input_tokens")?,
        output_tokens: tokens("output_tokens")?,
        points: row
            .try_get::<Option<i64>, _>("charge_nano")?
            .map(Points::from_nano),
        balance: row
            .try_get::<Option<i64>, _>("balance_after_nano")?
            .map(Points::from_nano),
        reason: row.try_get("reason")?,
    })
}
