//! All that is on record about some messages, and about those that turned out to be one with them.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::store::message::{ClaimRow, EventRow, events};
use crate::store::verification::claim::of_ids;
use crate::store::verification::message::{MessageEntryRow, ended_in, entries};

#[derive(Default)]
pub(super) struct Records {
    /// The claims of the messages' own ids.
    roots: HashMap<Uuid, ClaimRow>,
    /// By message, in order.
    events: HashMap<Uuid, Vec<EventRow>>,
    entries: HashMap<(Uuid, i64), MessageEntryRow>,
    /// Messages that have ended in each.
    ended: HashMap<Uuid, Vec<Uuid>>,
}

impl Records {
    pub(super) async fn read(tx: &mut PgConnection, messages: &[Uuid]) -> Result<Self> {
        let mut records = Self::default();
        let mut known: HashSet<Uuid> = HashSet::new();
        let mut wanted: Vec<Uuid> = messages.to_vec();
        while !wanted.is_empty() {
            known.extend(&wanted);
            let mut others = BTreeSet::new();
            for event in events(tx, &wanted).await? {
                others.extend(event.other);
                records.events.entry(event.message).or_default().push(event);
            }
            for (message, other) in ended_in(tx, &wanted).await? {
                others.insert(message);
                records.ended.entry(other).or_default().push(message);
            }
            for claim in of_ids(tx, &wanted).await? {
                records.roots.insert(claim.id, claim);
            }
            wanted = others
                .into_iter()
                .filter(|id| !known.contains(id))
                .collect();
        }
        let rows = entries(tx, &records.places()).await?;
        let rows = rows
            .into_iter()
            .map(|row| ((row.account_id, row.entry), row));
        records.entries = rows.collect();
        Ok(records)
    }

    /// All entries that claims and events tell of.
    fn places(&self) -> Vec<(Uuid, i64)> {
        let of_claims = self
            .roots
            .values()
            .filter_map(|it| it.account_id.zip(it.entry));
        let events = self.events.values().flatten();
        let of_events = events.filter_map(|event| Some((event.account_id, event.entry?)));
        let places: BTreeSet<_> = of_claims.chain(of_events).collect();
        places.into_iter().collect()
    }

    pub(super) fn root(&self, message: Uuid) -> Option<&ClaimRow> {
        self.roots.get(&message)
    }

    pub(super) fn events(&self, message: Uuid) -> &[EventRow] {
        self.events.get(&message).map_or(&[], Vec::as_slice)
    }

    pub(super) fn entry(&self, place: (Uuid, i64)) -> Option<&MessageEntryRow> {
        self.entries.get(&place)
    }

    pub(super) fn ended_in(&self, message: Uuid) -> &[Uuid] {
        self.ended.get(&message).map_or(&[], Vec::as_slice)
    }
}
