//! What is on record about the messages of a group: by which ids they are known, how they were
//! charged, who else reported them, and whether they wait.

use std::collections::{HashMap, HashSet};

use shared::dify::Evidence;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Delivery, Entrance};
use crate::chain::Hash;
use crate::error::{Error, Result};
use crate::holds::HeldPoints;
use crate::journal::hash_from;
use crate::locked::{Accounts, account_rows};
use crate::quarantine;

/// A message's id within its namespace.
pub(super) type MessageKey = (i64, String);

/// One charge of a message: as a rule its only one.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub part: i32,
    pub fingerprint: Hash,
    pub consumption_id: Uuid,
    pub total_tokens: i64,
    pub charge_nano: i64,
    pub balance_after_nano: i64,
    /// Where it was charged; absent in rows from before that was recorded.
    pub place: Option<(Uuid, i64)>,
    pub entrance: Entrance,
    pub evidence: Evidence,
    pub is_itemized: bool,
    /// Parts before it that were given back for it.
    pub replaces: Vec<i32>,
}

/// What another report than the one that was charged said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sighting {
    pub entrance: Entrance,
    pub fingerprint: Hash,
}

/// What a message in quarantine was reported as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub fingerprint: Hash,
    pub entrance: Entrance,
    /// Absent while this very group writes the row.
    pub quarantine_id: Option<Uuid>,
}

/// What is on record about one message.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    /// In order.
    pub parts: Vec<Part>,
    /// Those that said what somebody says now.
    pub sightings: HashSet<Sighting>,
    pub waiting: Option<Waiting>,
}

impl Message {
    /// The parts that still stand: those that no later one has taken the place of.
    pub fn standing(&self) -> Vec<&Part> {
        let is_replaced = |number| self.parts.iter().any(|it| it.replaces.contains(&number));
        let parts = self.parts.iter();
        parts.filter(|part| !is_replaced(part.part)).collect()
    }

    pub fn next_part(&self) -> i32 {
        self.parts.last().map_or(0, |part| part.part + 1)
    }
}

/// What is on record about the messages of a group.
#[derive(Default)]
pub(super) struct Known {
    messages: HashMap<MessageKey, Message>,
    /// Ids that were claimed for a message, with what was claimed under them.
    names: HashMap<MessageKey, (MessageKey, Hash)>,
    pub price_revision: i64,
}

impl Known {
    /// The message that any of the ids belongs to: the first one that was charged decides, and only
    /// then one that waits.
    pub fn find(&self, keys: &[MessageKey]) -> Option<MessageKey> {
        let is_charged = |key: &MessageKey| {
            let message = self.messages.get(key)?;
            (!message.parts.is_empty()).then_some(key.clone())
        };
        let charged = keys.iter().find_map(|key| match self.names.get(key) {
            Some((message, _)) => Some(message.clone()),
            None => is_charged(key),
        });
        charged.or_else(|| {
            let mut waiting = keys.iter();
            waiting
                .find(|key| self.messages.contains_key(*key))
                .cloned()
        })
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub fn get(&self, key: &MessageKey) -> Option<&Message> {
        self.messages.get(key)
    }

    pub fn get_mut(&mut self, key: MessageKey) -> &mut Message {
        self.messages.entry(key).or_default()
    }

    /// What was claimed under an id.
    pub fn claimed(&self, key: &MessageKey) -> Option<&Hash> {
        self.names.get(key).map(|(_, fingerprint)| fingerprint)
    }

    pub fn claim(&mut self, name: MessageKey, message: MessageKey, fingerprint: Hash) {
        self.names.insert(name, (message, fingerprint));
    }
}

/// Under which ids a delivery's message may be known, its own first. A hold that is settled is
/// settled by that message for good, whatever a second settlement calls it.
pub(super) fn names(holds: &HashMap<Uuid, HeldPoints>, delivery: &Delivery) -> Vec<MessageKey> {
    let namespace_id = delivery.source.namespace_id;
    let message = &delivery.message;
    let settled = delivery
        .hold_id
        .and_then(|hold_id| holds.get(&hold_id))
        .and_then(|held| Some((held.namespace_id?, held.message_id.clone()?)));
    let own = settled.unwrap_or_else(|| (namespace_id, message.message_id.clone()));
    let calls = message.calls.iter().filter_map(|call| call.call_id.clone());
    let others = message.also_known_as.iter().cloned().chain(calls);
    std::iter::once(own)
        .chain(others.map(|id| (namespace_id, id)))
        .collect()
}

/// Reads accounts, what is known about messages, and the price revision, in one round trip.
pub(super) async fn lookup(
    connection: &mut PgConnection,
    account_ids: &[Uuid],
    names: &[Vec<MessageKey>],
    fingerprints: &[Hash],
) -> Result<(Accounts, Known)> {
    let namespaces: Vec<i64> = names.iter().flatten().map(|(id, _)| *id).collect();
    let message_ids: Vec<&str> = names.iter().flatten().map(|(_, id)| id.as_str()).collect();
    let rows = sqlx::query(concat!(
        "select clock_timestamp() as now,
                (select coalesce(max(price_version_id), 0) from price_version) as price_revision,
                k.namespace_id, k.message_id as name, n.fingerprint as name_fingerprint,
                p.message_id, p.part, p.fingerprint, p.consumption_id, p.total_tokens, p.charge_nano,
                p.balance_after_nano, p.account_id as place_account_id, p.entry as place_entry,
                p.entrance, p.evidence, p.is_itemized, p.replaces,
                s.entrance as seen_entrance, s.fingerprint as seen_fingerprint,
                q.quarantine_id, q.fingerprint as waiting_fingerprint, q.entrance as waiting_entrance,
                null::uuid as account_id, null::bigint as balance_nano, null::bigint as held_nano,
                null::bigint as debt_limit_nano, null::bigint as entry_count, null::bytea as last_hash,
                null::bigint as entry, null::bigint as amount_nano, null::bigint as remaining_nano,
                null::boolean as is_bought, null::timestamptz as expires_at
         from unnest($2::bigint[], $3::text[]) as k (namespace_id, message_id)
         left join message n on n.namespace_id = k.namespace_id and n.message_id = k.message_id
             and n.part = 0
         left join message p on p.namespace_id = n.namespace_id
             and p.message_id = coalesce(n.alias_of, n.message_id) and p.alias_of is null
         left join sighting s on s.namespace_id = p.namespace_id and s.message_id = p.message_id
             and s.fingerprint = any($4)
         left join quarantine q on q.namespace_id = k.namespace_id and q.message_id = k.message_id
             and q.status = 'waiting'
         union all ",
        account_rows!(
            "$1",
            "clock_timestamp(), 0, null, null, null, null, null, null, null, null, null, null, null,
                null, null, null, null, null, null, null, null, null, null, "
        )
    ))
    .bind(account_ids)
    .bind(namespaces)
    .bind(message_ids)
    .bind(fingerprints.iter().map(Hash::as_slice).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut accounts = Accounts::none();
    accounts.take(&rows)?;
    let mut known = Known::default();
    for row in &rows {
        known.price_revision = known.price_revision.max(row.try_get("price_revision")?);
        known.take(row)?;
    }
    Ok((accounts, known))
}

impl Known {
    fn take(&mut self, row: &PgRow) -> Result<()> {
        let Some(namespace_id) = row.try_get::<Option<i64>, _>("namespace_id")? else {
            return Ok(());
        };
        let name = (namespace_id, row.try_get("name")?);
        if let Some(fingerprint) = row.try_get::<Option<Vec<u8>>, _>("waiting_fingerprint")? {
            self.get_mut(name.clone()).waiting = Some(Waiting {
                fingerprint: hash_from(fingerprint)?,
                entrance: entrance(row.try_get("waiting_entrance")?)?,
                quarantine_id: row.try_get("quarantine_id")?,
            });
        }
        let Some(message_id) = row.try_get::<Option<String>, _>("message_id")? else {
            return Ok(());
        };
        let key = (namespace_id, message_id);
        self.claim(
            name,
            key.clone(),
            hash_from(row.try_get("name_fingerprint")?)?,
        );
        let message = self.get_mut(key);
        let number: i32 = row.try_get("part")?;
        if let Err(place) = message
            .parts
            .binary_search_by_key(&number, |part| part.part)
        {
            message.parts.insert(place, part(row, number)?);
        }
        if let Some(fingerprint) = row.try_get::<Option<Vec<u8>>, _>("seen_fingerprint")? {
            message.sightings.insert(Sighting {
                entrance: entrance(row.try_get("seen_entrance")?)?,
                fingerprint: hash_from(fingerprint)?,
            });
        }
        Ok(())
    }

    /// Locks the quarantine rows that the group may release, so that none is dismissed meanwhile, and
    /// forgets those that have stopped waiting.
    pub async fn lock_waiting(
        &mut self,
        tx: &mut PgConnection,
        deliveries: &[Delivery],
    ) -> Result<HashSet<Uuid>> {
        let found = self
            .messages
            .values()
            .filter_map(|message| message.waiting?.quarantine_id);
        let resolved = deliveries
            .iter()
            .filter_map(|delivery| Some(delivery.resolves.as_ref()?.quarantine_id));
        let ids: Vec<Uuid> = found.chain(resolved).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let waiting = quarantine::lock_waiting(tx, &ids).await?;
        for message in self.messages.values_mut() {
            message.waiting = message
                .waiting
                .filter(|row| row.quarantine_id.is_none_or(|id| waiting.contains(&id)));
        }
        Ok(waiting)
    }
}

fn part(row: &PgRow, part: i32) -> Result<Part> {
    let evidence: &str = row.try_get("evidence")?;
    let account_id: Option<Uuid> = row.try_get("place_account_id")?;
    Ok(Part {
        part,
        fingerprint: hash_from(row.try_get("fingerprint")?)?,
        consumption_id: row.try_get("consumption_id")?,
        total_tokens: row.try_get("total_tokens")?,
        charge_nano: row.try_get("charge_nano")?,
        balance_after_nano: row.try_get("balance_after_nano")?,
        place: account_id.zip(row.try_get("place_entry")?),
        entrance: entrance(row.try_get("entrance")?)?,
        evidence: Evidence::ALL
            .into_iter()
            .find(|known| known.as_str() == evidence)
            .ok_or_else(|| Error::corrupt(format!("evidence {evidence}")))?,
        is_itemized: row.try_get("is_itemized")?,
        replaces: row.try_get("replaces")?,
    })
}

pub(crate) fn entrance(text: &str) -> Result<Entrance> {
    Entrance::ALL
        .into_iter()
        .find(|entrance| entrance.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("entrance {text}")))
}
