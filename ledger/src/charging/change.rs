//! What an administrator changes of a message: a refund, or other price versions for its models.

use shared::api::EntryKind;
use shared::money::Points;
use shared::price::PriceVersion;
use shared::quote::quote;
use sqlx::types::Json;
use uuid::Uuid;

use super::message::Message;
use crate::error::{Error, Result};
use crate::posting::accounts::Accounts;
use crate::records::dues::Dues;
use crate::records::entry::{Decided, Draft, Entry, EntryLine, MessageCharge};
use crate::store::rows::NewMessageEvent;
use std::collections::{BTreeMap, HashMap};

/// A message after a change that somebody decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecidedChange {
    pub kind: EntryKind,
    pub lines: Vec<EntryLine>,
    pub dues: Dues,
    /// Of a re-rating: what models are priced by from now on.
    pub versions: BTreeMap<String, i64>,
}

impl DecidedChange {
    /// Some of what is owed is given back; `None` for more than is owed, or nothing.
    pub(crate) fn refund(message: &Message, nano: i64) -> Option<Self> {
        Some(Self {
            kind: EntryKind::Refund,
            lines: message.lines.clone(),
            dues: message.dues.refunded(nano)?,
            versions: BTreeMap::new(),
        })
    }

    /// The message at other price versions, by model key; `None` where that changes nothing. What was
    /// refunded in whole stays so.
    ///
    /// # Errors
    /// A cost that the ledger cannot hold.
    pub(crate) fn rerate(
        message: &Message,
        versions: &HashMap<String, PriceVersion>,
    ) -> Result<Option<Self>> {
        if message.dues.is_refunded() {
            return Ok(None);
        }
        let mut lines = message.lines.clone();
        let mut used = BTreeMap::new();
        let mut cost_nano: i64 = 0;
        for line in &mut lines {
            let key = line.model_name.key();
            if let Some(version) = versions.get(&key) {
                line.price_version_id = version.id;
                line.cost_nano = quote(&version.rates, &line.tokens)?.points.nano();
                used.insert(key, version.id);
            }
            cost_nano = cost_nano
                .checked_add(line.cost_nano)
                .ok_or(shared::money::Overflow)?;
        }
        let is_known = |(key, id): (&String, &i64)| message.versions.get(key) == Some(id);
        if lines == message.lines && used.iter().all(is_known) {
            return Ok(None);
        }
        Ok(Some(Self {
            kind: EntryKind::Rerate,
            lines,
            dues: message.dues.at_cost(cost_nano),
            versions: used,
        }))
    }

    /// What the account gains by it.
    pub(crate) fn gain(&self, message: &Message) -> Result<Points> {
        let owed = Points::from_nano(message.dues.owed_nano);
        Ok(owed.minus(Points::from_nano(self.dues.owed_nano))?)
    }

    /// Enters it on the locked account; the entry, if anything is owed otherwise, and the event that
    /// says so. Nobody else changes the message meanwhile, or the event's number is taken.
    pub(crate) fn enter<'a>(
        &self,
        message: &Message,
        account_id: Uuid,
        accounts: &'a mut Accounts,
        by: Decided<'_>,
    ) -> Result<(Option<&'a Entry>, NewMessageEvent)> {
        let gain = self.gain(message)?;
        let before = message
            .entries
            .ok_or_else(|| Error::corrupt("a message that was never charged"))?;
        let charge = MessageCharge {
            message: message.id,
            origin: None,
            lines: self.lines.clone(),
            dues: self.dues,
            before: Some(before),
        };
        let now = accounts.now();
        let entry = if gain.is_zero() {
            None
        } else {
            let draft = Draft::decided(self.kind, gain, now, charge, by);
            Some(accounts.append(account_id, draft)??)
        };
        let has_changed =
            entry.is_none() && (self.lines != message.lines || self.dues != message.dues);
        let state = has_changed.then_some(self.dues);
        let event = NewMessageEvent {
            message: message.id.0,
            number: i32::try_from(message.next_number).unwrap_or(i32::MAX),
            kind: match self.kind {
                EntryKind::Refund => "refund",
                _ => "rerate",
            },
            account_id,
            entry: entry.map(|entry| entry.entry),
            versions: (self.kind == EntryKind::Rerate).then(|| Json(self.versions.clone())),
            lines: state.map(|_| Json(self.lines.clone())),
            cost_nano: state.map(|dues| dues.cost_nano),
            owed_nano: state.map(|dues| dues.owed_nano),
            basis_nano: state.map(|dues| dues.basis_nano),
            cap_nano: state.map(|dues| dues.cap_nano),
            ..NewMessageEvent::default()
        };
        Ok((entry, event))
    }
}
