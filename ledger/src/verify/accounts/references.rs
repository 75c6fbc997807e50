//! What entries of messages refer to: earlier entries, ids that are claimed, and who tells of them.

use std::collections::{HashMap, HashSet};

use shared::usage::LinePlace;
use sqlx::PgConnection;
use uuid::Uuid;

use super::course::AccountWalk;
use super::walk::Walk;
use crate::error::{Error, Result};
use crate::records::entry::{EntriesBefore, Entry, MessageCharge};
use crate::records::hash::MessageId;
use crate::store::verification::claim::{ChargePlace, unclaimed, untold};
use crate::store::verification::entry::{EarlierRow, earlier};
use crate::store::verification::message::having_joined;
use crate::verify::report::UNTOLD;

/// The references of the entries of a chunk.
#[derive(Default)]
pub(super) struct References {
    follows: Vec<EntryBefore>,
    ids: Vec<ClaimedId>,
    places: Vec<(usize, ChargePlace)>,
}

/// An entry that follows another one of its message.
struct EntryBefore {
    /// Whose walk.
    walk: usize,
    account_id: Uuid,
    entry: i64,
    message: Uuid,
    before: EntriesBefore,
    /// What is owed after it, and what the account gained by it.
    owed_nano: i64,
    amount_nano: i64,
}

/// An id that an entry names.
struct ClaimedId {
    walk: usize,
    entry: i64,
    id: Uuid,
    /// Of a call; of the message otherwise.
    call: Option<String>,
}

impl References {
    pub(super) fn add(
        &mut self,
        walk: usize,
        entry: &Entry,
        message: &MessageCharge,
        is_counted: bool,
    ) {
        let number = entry.entry;
        if is_counted {
            let place = ChargePlace {
                message: message.message.0,
                account_id: entry.account_id,
                entry: number,
            };
            self.places.push((walk, place));
        }
        if let Some(before) = message.before {
            self.follows.push(EntryBefore {
                walk,
                account_id: entry.account_id,
                entry: number,
                message: message.message.0,
                before,
                owed_nano: message.dues.owed_nano,
                amount_nano: entry.amount_nano(),
            });
        }
        let Some(origin) = &message.origin else {
            return;
        };
        let digest = |id: &str| MessageId::new(origin.namespace_id, id).0;
        let own = digest(&origin.message_id);
        // The claim of a message's first id is looked at with its entries.
        if own != message.message.0 {
            self.ids.push(ClaimedId {
                walk,
                entry: number,
                id: own,
                call: None,
            });
        }
        for line in &message.lines {
            if let LinePlace::Call(call) = &line.place {
                self.ids.push(ClaimedId {
                    walk,
                    entry: number,
                    id: digest(call),
                    call: Some(call.clone()),
                });
            }
        }
    }

    /// Looks all of them up, in the snapshot of their entries.
    pub(super) async fn look_up(
        &self,
        run: &AccountWalk,
        tx: &mut PgConnection,
        walks: &mut [Walk],
    ) -> Result<()> {
        let mut faults = self.of_follows(tx).await?;
        faults.extend(self.of_ids(tx).await?);
        match &run.tally {
            Some(tally) => {
                let mut tally = tally.lock().map_err(|_| Error::Stopped)?;
                self.places.iter().for_each(|(_, place)| tally.add(place));
            }
            None => faults.extend(self.of_places(tx).await?),
        }
        for fault in faults {
            if let Some(walk) = walks.get_mut(fault.walk) {
                walk.find_at(fault.entry, fault.what);
            }
        }
        Ok(())
    }

    async fn of_follows(&self, tx: &mut PgConnection) -> Result<Vec<ReferenceFault>> {
        if self.follows.is_empty() {
            return Ok(Vec::new());
        }
        let accounts: Vec<Uuid> = self.follows.iter().map(|it| it.account_id).collect();
        let numbers: Vec<i64> = self.follows.iter().map(|it| it.before.last).collect();
        let rows = earlier(tx, &accounts, &numbers).await?;
        let rows = rows
            .into_iter()
            .map(|row| ((row.account_id, row.entry), row));
        let rows: HashMap<_, _> = rows.collect();
        let row = |follow: &EntryBefore| rows.get(&(follow.account_id, follow.before.last));
        let other_owed = |follow: &&EntryBefore| !follow.is_difference_from(row(follow));
        let uneven: Vec<Uuid> = self
            .follows
            .iter()
            .filter(other_owed)
            .map(|it| it.message)
            .collect();
        // What other messages owed that turned out to be this one is counted where messages are replayed.
        let joined: HashSet<Uuid> = match uneven.as_slice() {
            [] => HashSet::new(),
            uneven => having_joined(tx, uneven).await?.into_iter().collect(),
        };
        let faults = self.follows.iter().filter_map(|follow| {
            let what = follow.fault(row(follow), joined.contains(&follow.message))?;
            Some(ReferenceFault::new(follow.walk, follow.entry, what))
        });
        Ok(faults.collect())
    }

    async fn of_ids(&self, tx: &mut PgConnection) -> Result<Vec<ReferenceFault>> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = self.ids.iter().map(|it| it.id).collect();
        let missing = unclaimed(tx, &ids).await?;
        let faults = missing.into_iter().filter_map(|place| {
            let id = nth(&self.ids, place)?;
            let what = match &id.call {
                Some(call) => format!("its call {call} could be charged again: its id is missing"),
                None => "its message could be charged again: its id is missing".to_owned(),
            };
            Some(ReferenceFault::new(id.walk, id.entry, what))
        });
        Ok(faults.collect())
    }

    async fn of_places(&self, tx: &mut PgConnection) -> Result<Vec<ReferenceFault>> {
        if self.places.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<_> = self.places.iter().map(|(_, place)| *place).collect();
        let untold = untold(tx, &places).await?;
        let faults = untold.into_iter().filter_map(|place| {
            let (walk, place) = nth(&self.places, place)?;
            Some(ReferenceFault::new(*walk, place.entry, UNTOLD.to_owned()))
        });
        Ok(faults.collect())
    }
}

impl EntryBefore {
    fn fault(&self, row: Option<&EarlierRow>, is_joined: bool) -> Option<String> {
        let what = match row {
            None => "the message's entry before it is missing",
            Some(row) if row.message != Some(self.message) => {
                "the entry before it is one of another message"
            }
            Some(row) if row.corrects_entry.unwrap_or(row.entry) != self.before.first => {
                "the entry before it names another first entry of the message"
            }
            row if self.is_difference_from(row) || is_joined => return None,
            Some(_) => "its amount is not the difference of what the message owes",
        };
        Some(what.to_owned())
    }

    fn is_difference_from(&self, row: Option<&EarlierRow>) -> bool {
        row.is_some_and(|row| {
            let owed = row.owed_nano.or_else(|| row.amount_nano.checked_neg());
            owed.and_then(|owed| owed.checked_sub(self.owed_nano)) == Some(self.amount_nano)
        })
    }
}

struct ReferenceFault {
    walk: usize,
    entry: i64,
    what: String,
}

impl ReferenceFault {
    const fn new(walk: usize, entry: i64, what: String) -> Self {
        Self { walk, entry, what }
    }
}

/// Of places that Postgres counts, from 1 on.
fn nth<T>(of: &[T], place: i64) -> Option<&T> {
    of.get(usize::try_from(place).ok()?.checked_sub(1)?)
}
