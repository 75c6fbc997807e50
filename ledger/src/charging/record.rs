//! Reads what is on record about messages.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use shared::clock::Timestamp;
use shared::usage::Report;
use sqlx::PgConnection;
use uuid::Uuid;

use super::message::{Message, RecordedReport, usage_of};
use crate::error::{Error, Result};
use crate::records::dues::Dues;
use crate::records::entrance::Entrance;
use crate::records::entry::EntriesBefore;
use crate::records::hash::MessageId;
use crate::store::message::{ClaimRow, EventRow, StateRow, claims, events, states};

/// What is on record about some messages, and which ids are theirs.
#[derive(Debug, Default)]
pub(crate) struct Record {
    messages: HashMap<MessageId, Message>,
    claims: HashMap<MessageId, MessageId>,
}

impl Record {
    /// The messages that ids belong to, each once, in the order of the ids.
    pub(crate) fn find(&self, ids: &[MessageId]) -> Vec<MessageId> {
        let mut found = Vec::new();
        for id in ids.iter().filter_map(|id| self.claims.get(id)) {
            if !found.contains(id) {
                found.push(*id);
            }
        }
        found
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&Message> {
        self.messages.get(&id)
    }

    pub(crate) fn is_claimed(&self, id: MessageId) -> bool {
        self.claims.contains_key(&id)
    }

    pub(crate) fn claim(&mut self, id: MessageId, message: MessageId) {
        self.claims.insert(id, message);
    }

    pub(crate) fn put(&mut self, message: Message) {
        self.messages.insert(message.id, message);
    }

    /// A message has turned out to be another one.
    pub(crate) fn join(&mut self, ended: MessageId, into: MessageId) {
        self.messages.remove(&ended);
        for message in self.claims.values_mut() {
            if *message == ended {
                *message = into;
            }
        }
    }

    /// All places in quarantine where something of them waits.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Uuid> {
        let messages = self.messages.values();
        let waiting = messages.flat_map(|message| &message.waiting);
        waiting.filter_map(|recorded| recorded.quarantine_id)
    }

    /// Forgets what waits no longer.
    pub(crate) fn keep_waiting(&mut self, waiting: &HashSet<Uuid>) {
        for message in self.messages.values_mut() {
            message
                .waiting
                .retain(|it| it.quarantine_id.is_some_and(|id| waiting.contains(&id)));
        }
    }

    /// Reads the messages that ids belong to: to the end of those that turned out to be another one.
    pub(crate) async fn read(connection: &mut PgConnection, ids: &[MessageId]) -> Result<Self> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let mut reading = Reading::default();
        let mut wanted = claims(connection, &ids).await?;
        while !wanted.is_empty() {
            let roots = reading.add_claims(wanted);
            let ended = reading.add_events(events(connection, &roots).await?);
            let ended: Vec<Uuid> = ended.into_iter().collect();
            wanted = if ended.is_empty() {
                Vec::new()
            } else {
                claims(connection, &ended).await?
            };
        }
        let entries: Vec<_> = reading.entries().into_iter().collect();
        let states = if entries.is_empty() {
            Vec::new()
        } else {
            states(connection, &entries).await?
        };
        reading.finish(states)
    }
}

/// Rows about messages while they are read.
#[derive(Default)]
struct Reading {
    claims: HashMap<Uuid, ClaimRow>,
    /// By message, in order.
    events: BTreeMap<Uuid, Vec<EventRow>>,
    messages: BTreeSet<Uuid>,
}

impl Reading {
    /// Returns the messages that are new.
    fn add_claims(&mut self, claims: Vec<ClaimRow>) -> Vec<Uuid> {
        let mut new = Vec::new();
        for claim in claims {
            if self.messages.insert(claim.message) {
                new.push(claim.message);
            }
            self.claims.insert(claim.id, claim);
        }
        new
    }

    /// Returns the messages that others turned out to be, as far as they are new.
    fn add_events(&mut self, events: Vec<EventRow>) -> BTreeSet<Uuid> {
        let mut into = BTreeSet::new();
        for event in events {
            let other = event.other.filter(|_| event.kind == "joined");
            into.extend(other.filter(|other| !self.messages.contains(other)));
            self.events.entry(event.message).or_default().push(event);
        }
        into
    }

    fn events_of(&self, message: Uuid) -> &[EventRow] {
        self.events.get(&message).map_or(&[], Vec::as_slice)
    }

    /// Where a message was first charged, and where its last entry is.
    fn first_and_last(&self, message: Uuid) -> Option<((Uuid, i64), (Uuid, i64))> {
        let of_claims = self.claims.values().find_map(|claim| {
            (claim.message == message).then_some((claim.account_id?, claim.entry?))
        });
        let mut of_events = self
            .events_of(message)
            .iter()
            .filter_map(|event| Some((event.account_id, event.entry?)));
        let first = of_claims.or_else(|| of_events.next())?;
        Some((first, of_events.next_back().unwrap_or(first)))
    }

    /// The entries that tell what the messages were first charged, and cost now.
    fn entries(&self) -> BTreeSet<(Uuid, i64)> {
        let messages = self.messages.iter();
        messages
            .filter_map(|message| self.first_and_last(*message))
            .flat_map(|(first, last)| [first, last])
            .collect()
    }

    fn finish(self, states: Vec<StateRow>) -> Result<Record> {
        let states: HashMap<_, _> = states
            .into_iter()
            .map(|state| ((state.account_id, state.entry), state))
            .collect();
        let mut record = Record::default();
        let mut ended = HashMap::new();
        for message in &self.messages {
            let events = self.events_of(*message);
            if let Some(other) = events.iter().rev().find(|event| event.kind == "joined") {
                ended.insert(*message, other.other.unwrap_or(*message));
                continue;
            }
            let (first, last) = self.first_and_last(*message).unzip();
            let state = |place: Option<(Uuid, i64)>| match place {
                None => Ok(None),
                Some(place) => states
                    .get(&place)
                    .map(Some)
                    .ok_or_else(|| Error::corrupt("an entry of a message is missing")),
            };
            record.put(message_of(*message, state(first)?, state(last)?, events)?);
        }
        for claim in self.claims.values() {
            let mut message = claim.message;
            while let Some(other) = ended.get(&message).filter(|other| **other != message) {
                message = *other;
            }
            record.claim(MessageId(claim.id), MessageId(message));
        }
        Ok(record)
    }
}

fn message_of(
    id: Uuid,
    first: Option<&StateRow>,
    last: Option<&StateRow>,
    events: &[EventRow],
) -> Result<Message> {
    let mut message = Message::new(MessageId(id));
    if let Some(first) = first {
        message.account_id = Some(first.account_id);
        message.entries = Some(EntriesBefore {
            first: first.entry,
            last: last.map_or(first.entry, |last| last.entry),
        });
        if events.iter().all(|event| event.entry != Some(first.entry)) {
            message.in_effect.push(first.report()?);
            message.next_number = 1;
        }
    }
    if let Some(last) = last {
        message.lines.clone_from(&last.lines.0);
        message.dues = last.dues();
        message.balance_after_nano = last.balance_after_nano;
    }
    let last_entry = message.entries.map(|entries| entries.last);
    let mut is_after_last = events
        .iter()
        .all(|event| event.entry.is_none() || event.entry != last_entry);
    for event in events {
        message.next_number = u32::try_from(event.number)
            .map_err(|_| Error::corrupt("an event's number"))?
            .saturating_add(1)
            .max(message.next_number);
        match event.kind.as_str() {
            "report" => message.in_effect.push(event.report()?),
            "waiting" if event.is_waiting => message.waiting.push(event.report()?),
            "rerate" => {
                let versions = event.versions.iter();
                message
                    .versions
                    .extend(versions.flat_map(|it| it.0.clone()));
            }
            _ => {}
        }
        is_after_last |= event.entry.is_some() && event.entry == last_entry;
        if let Some((lines, dues)) = event.state().filter(|_| is_after_last) {
            message.lines = lines;
            message.dues = dues;
        }
    }
    message
        .in_effect
        .sort_by_key(|recorded| recorded.report.number);
    Ok(message)
}

impl StateRow {
    /// The report of a first charge, as the lines of its entry tell it.
    pub(crate) fn report(&self) -> Result<RecordedReport> {
        let missing = || Error::corrupt("a charge without a source");
        let entrance = Entrance::stored(self.entrance.as_deref().ok_or_else(missing)?)?;
        Ok(RecordedReport {
            report: Report {
                number: 0,
                party: entrance.party(),
                at: Timestamp::new(self.occurred_at),
                usage: usage_of(&self.lines.0),
            },
            account_id: self.account_id,
            api_key_id: self.api_key_id.ok_or_else(missing)?,
            entrance,
            quarantine_id: None,
        })
    }

    pub(crate) fn dues(&self) -> Dues {
        match (
            self.cost_nano,
            self.owed_nano,
            self.basis_nano,
            self.cap_nano,
        ) {
            (Some(cost_nano), Some(owed_nano), Some(basis_nano), Some(cap_nano)) => Dues {
                cost_nano,
                owed_nano,
                basis_nano,
                cap_nano,
            },
            _ => Dues::default().at_cost(self.amount_nano.saturating_neg()),
        }
    }
}

impl EventRow {
    pub(crate) fn report(&self) -> Result<RecordedReport> {
        let missing = || Error::corrupt("a report that does not tell who says what");
        let entrance = Entrance::stored(self.entrance.as_deref().ok_or_else(missing)?)?;
        let number = self.counts_as.unwrap_or(self.number);
        Ok(RecordedReport {
            report: Report {
                number: u32::try_from(number).map_err(|_| Error::corrupt("a report's number"))?,
                party: entrance.party(),
                at: Timestamp::new(self.occurred_at.ok_or_else(missing)?),
                usage: self.usage.clone().ok_or_else(missing)?.0,
            },
            account_id: self.account_id,
            api_key_id: self.api_key_id.ok_or_else(missing)?,
            entrance,
            quarantine_id: self.quarantine_id,
        })
    }

    /// What the message costs after it, where no entry says so.
    pub(crate) fn state(&self) -> Option<(Vec<crate::records::entry::EntryLine>, Dues)> {
        Some((
            self.lines.clone()?.0,
            Dues {
                cost_nano: self.cost_nano?,
                owed_nano: self.owed_nano?,
                basis_nano: self.basis_nano?,
                cap_nano: self.cap_nano?,
            },
        ))
    }
}
