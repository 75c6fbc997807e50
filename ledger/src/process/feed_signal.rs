//! Whether the live feed may have grown, by this process or by another one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use crate::process::key_cache::KeyCache;
use crate::store::api_key::CHANGE_CHANNEL;

const DELIVERY_CHANNEL: &str = "tollgate_delivery";

/// Between two notifications. Whoever looks once sees all that was committed before.
const TELL_PAUSE: Duration = Duration::from_millis(20);

/// Whether the feed may have grown.
#[derive(Clone)]
pub(crate) struct FeedSignal {
    grown: Arc<watch::Sender<()>>,
    /// By this process.
    committed: Arc<watch::Sender<()>>,
}

impl Default for FeedSignal {
    fn default() -> Self {
        Self {
            grown: Arc::new(watch::Sender::new(())),
            committed: Arc::new(watch::Sender::new(())),
        }
    }
}

impl FeedSignal {
    /// Changes when the feed may have grown.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    /// This process has committed deliveries.
    pub(crate) fn committed(&self) {
        self.grown.send_replace(());
        self.committed.send_replace(());
    }
}

/// Hears what other processes commit, and tells them what this one does. Ends with the last clone of
/// the signal, which the ledger holds, or when the pool is closed.
pub(crate) fn listen(pool: PgPool, live: &FeedSignal, keys: KeyCache) {
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
    keys: &KeyCache,
    this_process: &str,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener
        .listen_all([DELIVERY_CHANNEL, CHANGE_CHANNEL])
        .await?;
    keys.trust();
    // What was committed while nobody listened.
    signal(live);
    // `None` means that the connection was lost and messages with it.
    while let Some(notification) = listener.try_recv().await? {
        if notification.channel() == CHANGE_CHANNEL {
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
