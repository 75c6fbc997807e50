//! Group commit: reports that arrive while a transaction is under way share the next one. A lone
//! report waits for nobody. There are a few writers, so that one can compute while another waits for
//! the disk; all reports of an account go through the same one, so that writers do not wait for each
//! other's locks.

use std::sync::Arc;

use shared::api::WebhookAnswer;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{error, warn};
use uuid::Uuid;

use super::batch::Verdict;
use super::commit::Committer;
use super::delivery::Delivery;
use crate::error::{Attempt, Error, Result, is_lost_race, is_unavailable, refusal};
use crate::posting::cache::{AccountCache, RecentClaims};
use crate::posting::clock::DatabaseClock;
use crate::process::feed_signal::FeedSignal;
use crate::process::price_cache::PriceCache;
use crate::records::settings::Settings;
use crate::store::connection::OwnConnection;

/// Reports in one transaction at most: more would only make each of them wait longer.
const GROUP_MESSAGES_MAX: usize = 512;
/// Bodies of reports in the queues may take this much memory together, in KiB.
const QUEUE_KIB_MAX: usize = 64 * 1024;
/// A group that loses a race against another process is tried again this often.
const TRIES_MAX: u32 = 10;

/// Why a report was not taken for what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryRefusal {
    /// The message was reported before, with other numbers; that it was is on record.
    Conflict { message_id: String },
    /// What it was to resolve waits no longer.
    ResolvedAlready,
}

refusal!(DeliveryRefusal);

struct Queued {
    delivery: Delivery,
    answer: oneshot::Sender<Result<Verdict>>,
    /// Given back when the next commit takes the report.
    _place: OwnedSemaphorePermit,
    /// Given back with the answer.
    memory: OwnedSemaphorePermit,
}

/// The queues before the writers.
pub(crate) struct CommitQueue {
    queues: Vec<mpsc::UnboundedSender<Queued>>,
    /// Bounds what all queues hold together.
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

impl CommitQueue {
    /// Starts the writers; they end when the queue is dropped.
    pub(crate) fn start(
        options: &PgConnectOptions,
        prices: &PriceCache,
        feed: &FeedSignal,
        settings: &Settings,
    ) -> Self {
        let queues = (0..settings.writers.max(1)).map(|_| {
            let (queue, queued) = mpsc::unbounded_channel();
            let writer = Writer {
                connection: OwnConnection::new(options, "tollgate writer", settings),
                committer: Committer {
                    prices: prices.clone(),
                    message_tokens_max: settings.message_tokens_max,
                    accounts: AccountCache::default(),
                    claims: RecentClaims::default(),
                    clock: DatabaseClock::default(),
                },
                feed: feed.clone(),
            };
            tokio::spawn(writer.run(queued));
            queue
        });
        Self {
            queues: queues.collect(),
            places: Arc::new(Semaphore::new(settings.queue_messages_max.max(1))),
            memory: Arc::new(Semaphore::new(QUEUE_KIB_MAX)),
        }
    }

    /// The queue of an account.
    fn queue_of(&self, account_id: Uuid) -> Result<&mpsc::UnboundedSender<Queued>> {
        let queues = u128::try_from(self.queues.len()).unwrap_or(1);
        let number = account_id.as_u128().checked_rem(queues).unwrap_or(0);
        let queue = usize::try_from(number).ok();
        queue
            .and_then(|number| self.queues.get(number))
            .ok_or(Error::Stopped)
    }

    /// Takes a place in the queue, or is refused, at once; what is returned waits for the commit.
    pub(crate) fn submit(
        &self,
        delivery: Delivery,
    ) -> impl Future<Output = Attempt<WebhookAnswer, DeliveryRefusal>> + use<> {
        let verdict = self.enqueue(delivery);
        async move {
            match verdict?.await.map_err(|_| Error::Stopped)?? {
                Verdict::Answer(answer) => Ok(answer),
                Verdict::Gone => Err(DeliveryRefusal::ResolvedAlready.into()),
                Verdict::Conflict { message_id } => {
                    Err(DeliveryRefusal::Conflict { message_id }.into())
                }
            }
        }
    }

    fn enqueue(&self, delivery: Delivery) -> Result<oneshot::Receiver<Result<Verdict>>> {
        let kib = u32::try_from(delivery.body.len() / 1024 + 1).map_err(|_| Error::Busy)?;
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Error::Busy)?;
        let memory = Arc::clone(&self.memory)
            .try_acquire_many_owned(kib)
            .map_err(|_| Error::Busy)?;
        let (answer, verdict) = oneshot::channel();
        self.queue_of(delivery.account_id())?
            .send(Queued {
                delivery,
                answer,
                _place: place,
                memory,
            })
            .map_err(|_| Error::Stopped)?;
        Ok(verdict)
    }
}

struct Writer {
    connection: OwnConnection,
    committer: Committer,
    feed: FeedSignal,
}

impl Writer {
    async fn run(mut self, mut queued: mpsc::UnboundedReceiver<Queued>) {
        let mut group = Vec::with_capacity(GROUP_MESSAGES_MAX);
        while queued.recv_many(&mut group, GROUP_MESSAGES_MAX).await > 0 {
            let (deliveries, answers): (Vec<_>, Vec<_>) = group
                .drain(..)
                .map(|queued: Queued| (queued.delivery, (queued.answer, queued.memory)))
                .unzip();
            let verdicts = self.settle(&deliveries).await;
            self.feed.committed();
            for ((answer, _memory), verdict) in answers.into_iter().zip(verdicts) {
                // A caller that has gone away has lost only its answer.
                drop(answer.send(verdict));
            }
        }
    }

    /// Commits a group; one that fails for a reason of its own is split, so that a bad message
    /// spoils no other.
    async fn settle(&mut self, deliveries: &[Delivery]) -> Vec<Result<Verdict>> {
        match self.commit(deliveries).await {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(Error::Database(error)) if is_unavailable(&error) => {
                warn!(messages = deliveries.len(), %error, "postgres is away; messages refused");
                deliveries.iter().map(|_| Err(Error::Busy)).collect()
            }
            Err(_) if deliveries.len() > 1 => {
                let mut verdicts = Vec::with_capacity(deliveries.len());
                for delivery in deliveries {
                    verdicts.push(match self.commit(std::slice::from_ref(delivery)).await {
                        Ok(mut one) => one.pop().ok_or(Error::Stopped),
                        Err(error) => Err(error),
                    });
                }
                verdicts
            }
            Err(error) => vec![Err(error)],
        }
    }

    async fn commit(&mut self, deliveries: &[Delivery]) -> Result<Vec<Verdict>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let committer = &mut self.committer;
            let committed = self
                .connection
                .lend(async |connection| committer.commit(connection, deliveries).await);
            match committed.await {
                Err(Error::Database(error)) if is_lost_race(&error) && tries < TRIES_MAX => {}
                Err(error) => {
                    error!(messages = deliveries.len(), %error, "a group was not committed");
                    return Err(error);
                }
                verdicts => return verdicts,
            }
        }
    }
}
