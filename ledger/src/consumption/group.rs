//! Group commit: messages that arrive while a transaction is under way share the next one. A lone
//! message waits for nobody.

use std::sync::Arc;

use shared::api::WebhookAnswer;
use shared::problem::Problem;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{error, warn};

use super::Delivery;
use super::commit::{Verdict, commit};
use crate::error::{BUSY, Error, Result, is_lost_race, is_unavailable};
use crate::{Settings, live, locked, prices};

/// Messages in one transaction at most: more would only make each of them wait longer.
const GROUP_MESSAGES_MAX: usize = 512;
/// Bodies of waiting messages may take this much memory together, in KiB.
const QUEUE_KIB_MAX: usize = 64 * 1024;
/// A group that loses a race against another process is tried again this often.
const TRIES_MAX: u32 = 10;

struct Waiting {
    delivery: Delivery,
    answer: oneshot::Sender<Result<Verdict>>,
    _memory: OwnedSemaphorePermit,
}

/// The queue before the writer.
pub(crate) struct Group {
    queue: mpsc::Sender<Waiting>,
    memory: Arc<Semaphore>,
}

/// The writer's own connection: no other request keeps it waiting.
fn connection(options: PgConnectOptions, settings: &Settings) -> PgPool {
    let options = options
        .application_name("tollgate writer")
        .options(locked::BY_KEYS);
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(settings.connection_wait_max)
        .connect_lazy_with(options)
}

impl Group {
    /// Starts the writer; it ends when the `Group` is dropped.
    pub(crate) fn start(
        options: PgConnectOptions,
        prices: prices::Cache,
        live: live::Signal,
        settings: Settings,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(settings.queue_messages_max.max(1));
        tokio::spawn(
            Writer {
                pool: connection(options, &settings),
                prices,
                live,
                settings,
            }
            .run(waiting),
        );
        Self {
            queue,
            memory: Arc::new(Semaphore::new(QUEUE_KIB_MAX)),
        }
    }

    pub(crate) async fn submit(&self, delivery: Delivery) -> Result<WebhookAnswer> {
        let kib = u32::try_from(delivery.body.len() / 1024 + 1).map_err(|_| BUSY)?;
        let memory = Arc::clone(&self.memory)
            .try_acquire_many_owned(kib)
            .map_err(|_| BUSY)?;
        let (answer, verdict) = oneshot::channel();
        self.queue
            .try_send(Waiting {
                delivery,
                answer,
                _memory: memory,
            })
            .map_err(|_| BUSY)?;
        match verdict.await.map_err(|_| Error::Stopped)?? {
            Verdict::Answer(answer) => Ok(answer),
            Verdict::Gone => Err(Problem::NotFound.into()),
            Verdict::Conflict { message_id } => Err(Problem::MessageConflict { message_id }.into()),
        }
    }
}

struct Writer {
    pool: PgPool,
    prices: prices::Cache,
    live: live::Signal,
    settings: Settings,
}

impl Writer {
    async fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut group = Vec::with_capacity(GROUP_MESSAGES_MAX);
        while waiting.recv_many(&mut group, GROUP_MESSAGES_MAX).await > 0 {
            let (deliveries, answers): (Vec<_>, Vec<_>) = group
                .drain(..)
                .map(|waiting: Waiting| (waiting.delivery, (waiting.answer, waiting._memory)))
                .unzip();
            let verdicts = self.settle(&deliveries).await;
            self.live.changed();
            for ((answer, _memory), verdict) in answers.into_iter().zip(verdicts) {
                // A caller that has gone away has lost only its answer.
                let _ = answer.send(verdict);
            }
        }
    }

    /// Commits a group; one that fails for a reason of its own is split, so that a bad message
    /// spoils no other.
    async fn settle(&self, deliveries: &[Delivery]) -> Vec<Result<Verdict>> {
        match self.commit(deliveries).await {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(Error::Database(error)) if is_unavailable(&error) => {
                warn!(messages = deliveries.len(), %error, "postgres is away; messages refused");
                deliveries.iter().map(|_| Err(BUSY.into())).collect()
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

    async fn commit(&self, deliveries: &[Delivery]) -> Result<Vec<Verdict>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match commit(&self.pool, &self.prices, &self.settings, deliveries).await {
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
