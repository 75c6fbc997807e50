//! The messages. One that was charged once and of which nothing happened since is told by its entry and
//! its claim: those are counted, and looked at only where the counts differ. The others are replayed.

mod claims;
mod join;
mod records;
mod replay;
mod replayed;

use std::sync::{Arc, Mutex};

use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use self::records::Records;
use self::replay::Replay;
use super::pricing::Pricing;
use super::ranges::{id_ranges, in_parallel};
use super::report::{Finding, Pass, to_u64};
use super::tally::Tally;
use crate::error::{Error, Result};
use crate::records::hash::MessageId;
use crate::store::verification::claim::ChargePlace;
use crate::store::verification::{BY_KEYS, Cut, message};

pub(super) use claims::ClaimScan;

/// Messages replayed in one snapshot.
const MESSAGES_MAX: i64 = 500;

/// The replay of all messages of which something happened since their first charge.
pub(super) struct MessageReplay {
    pub pool: PgPool,
    pub pricing: Arc<Pricing>,
    pub cut: Cut,
    /// Counts the entries that their events tell of, beside those that their claims tell of.
    pub tally: Option<Mutex<Tally>>,
}

impl MessageReplay {
    pub(super) async fn run(self: &Arc<Self>) -> Result<Pass> {
        let replayed = in_parallel(id_ranges(), |range| {
            let replay = Arc::clone(self);
            Box::pin(async move { replay.range(range).await })
        });
        let mut pass = Pass::new("messages");
        for name in ["messages", "events"] {
            pass.count(name, 0);
        }
        replayed.await?.into_iter().for_each(|part| pass.add(part));
        Ok(pass)
    }

    async fn range(&self, (first, last): (Uuid, Uuid)) -> Result<Pass> {
        let mut pass = Pass::default();
        let mut after = Uuid::from_u128(first.as_u128().saturating_sub(1));
        loop {
            let mut connection = self.pool.acquire().await?;
            let mut tx = connection.begin_with(BY_KEYS).await?;
            let messages = message::with_events(&mut tx, (after, last), MESSAGES_MAX).await?;
            let Some(newest) = messages.last() else {
                return Ok(pass);
            };
            after = *newest;
            match self.replay(&mut tx, &messages, &mut pass).await {
                Err(error) if is_unreadable(&error) => {
                    for id in messages {
                        if let Err(error) = self.replay(&mut tx, &[id], &mut pass).await {
                            pass.find(unreadable(id, error)?);
                        }
                    }
                }
                replayed => replayed?,
            }
            tx.rollback().await?;
        }
    }

    async fn replay(
        &self,
        tx: &mut PgConnection,
        messages: &[Uuid],
        pass: &mut Pass,
    ) -> Result<()> {
        let records = Records::read(tx, messages).await?;
        if let Some(tally) = &self.tally {
            let told = message::told_by_events(tx, messages, &self.cut).await?;
            let mut tally = tally.lock().map_err(|_| Error::Stopped)?;
            let told = told.iter().filter(|place| !records.is_told_by_claim(place));
            told.for_each(|place| tally.add(place));
        }
        for id in messages {
            pass.count("messages", 1);
            pass.count("events", to_u64(records.events(*id).len()));
            if let Err(fault) = Replay::new(&records, &self.pricing.book).of(*id) {
                let name = MessageId(*id).public();
                pass.find(Finding {
                    account_id: fault.account_id,
                    entry: fault.entry,
                    ..Finding::of(format!("message {name}: {}", fault.what))
                });
            }
        }
        Ok(())
    }
}

/// Whether it is what is stored, and not the connection.
const fn is_unreadable(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt(_) | Error::Database(sqlx::Error::ColumnDecode { .. })
    )
}

/// # Errors
/// Any other than that the message cannot be read.
fn unreadable(id: Uuid, error: Error) -> Result<Finding> {
    if is_unreadable(&error) {
        let name = MessageId(id).public();
        Ok(Finding::of(format!(
            "message {name} cannot be read: {error}"
        )))
    } else {
        Err(error)
    }
}

impl Records {
    /// Whether the message's own claim tells of an entry, too.
    fn is_told_by_claim(&self, place: &ChargePlace) -> bool {
        let root = self.root(place.message);
        root.is_some_and(|root| {
            root.message == root.id
                && (root.account_id, root.entry) == (Some(place.account_id), Some(place.entry))
        })
    }
}
