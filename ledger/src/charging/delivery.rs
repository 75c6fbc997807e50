//! What arrives: a report of a message, from an authenticated source.

use std::sync::Arc;

use shared::api::QuarantineReason;
use shared::clock::Timestamp;
use shared::usage::{MessageUsage, Usage};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::records::actor::Actor;
use crate::records::api_key::ApiKey;
use crate::records::entrance::Entrance;
use crate::records::hash::{MessageId, account_id};

/// A report of a message, as an authenticated source delivered it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub source: Arc<ApiKey>,
    pub entrance: Entrance,
    pub message: MessageUsage,
    /// As received; kept when the message cannot be charged.
    pub body: Vec<u8>,
    pub received_at: Timestamp,
    /// The hold that this message settles.
    pub hold_id: Option<Uuid>,
    /// The message may go on: what it used so far is told.
    pub continues: bool,
    /// The waiting row whose message this is.
    pub(crate) resolves: Option<Resolution>,
    /// The administrator who decided that a message which nobody reported is to be charged.
    pub(crate) reviewed_by: Option<Actor>,
}

/// A report leaves quarantine, by a price or by an administrator: it is charged whatever kept it
/// waiting, as long as it has a price.
#[derive(Debug, Clone)]
pub(crate) struct Resolution {
    pub quarantine_id: Uuid,
    /// The administrator, and what had been reported.
    pub by: Option<(Actor, Option<MessageUsage>)>,
    /// The administrator has put the numbers right.
    pub is_corrected: bool,
}

/// A delivery with the digests that it is found by, made once for all ways of writing it.
pub(crate) struct IdentifiedDelivery<'a> {
    pub delivery: &'a Delivery,
    pub account_id: Uuid,
    /// Of its message, its own first.
    pub ids: Vec<MessageId>,
    /// Of its calls.
    pub call_ids: Vec<MessageId>,
}

impl<'a> IdentifiedDelivery<'a> {
    pub(crate) fn of(delivery: &'a Delivery) -> Self {
        Self {
            delivery,
            account_id: delivery.account_id(),
            ids: delivery.ids(),
            call_ids: delivery.call_ids(),
        }
    }
}

impl Delivery {
    #[must_use]
    pub const fn new(
        source: Arc<ApiKey>,
        entrance: Entrance,
        message: MessageUsage,
        body: Vec<u8>,
        received_at: Timestamp,
    ) -> Self {
        Self {
            source,
            entrance,
            message,
            body,
            received_at,
            hold_id: None,
            continues: false,
            resolves: None,
            reviewed_by: None,
        }
    }

    /// A message that this process itself put together, now: it is its own body.
    #[must_use]
    pub fn own(source: Arc<ApiKey>, entrance: Entrance, message: MessageUsage) -> Self {
        let body = serde_json::to_vec(&message).unwrap_or_default();
        let now = OffsetDateTime::now_utc().into();
        Self::new(source, entrance, message, body, now)
    }

    /// Settles a hold of its user with it, by the hold's public id. What was used is charged, whatever
    /// became of the hold; what is no hold settles none.
    #[must_use]
    pub fn settling(mut self, hold_id: Option<&str>) -> Self {
        self.hold_id = hold_id.and_then(crate::records::hold_id::parse);
        self
    }

    /// Whether it is about nothing but its message, and perhaps a hold.
    pub(crate) const fn is_plain(&self) -> bool {
        self.resolves.is_none() && self.reviewed_by.is_none()
    }

    pub(crate) fn account_id(&self) -> Uuid {
        account_id(&self.message.user_id)
    }

    /// When the message happened: what the sender says, but never after its arrival nor after `now`,
    /// the database's time, so that no clock that runs fast, neither the sender's nor this server's,
    /// chooses a price that is published later.
    pub(crate) fn occurred_at(&self, now: Timestamp) -> Timestamp {
        self.message
            .occurred_at
            .map_or(self.received_at, |at| at.min(self.received_at))
            .min(now)
    }

    /// What it says was used. An administrator who puts numbers right decides the message as a whole.
    pub(crate) fn usage(&self) -> Usage {
        let usage = self.message.usage(self.continues);
        match &self.resolves {
            Some(resolution) if resolution.is_corrected => usage.decided(),
            _ => usage,
        }
    }

    /// The ids of its message, its own first.
    pub(crate) fn ids(&self) -> Vec<MessageId> {
        let message = &self.message;
        self.digests(std::iter::once(&message.message_id).chain(&message.also_known_as))
    }

    /// The ids of its calls. Whoever knows the message by one of them means this message.
    pub(crate) fn call_ids(&self) -> Vec<MessageId> {
        let calls = self.message.calls.iter();
        self.digests(calls.filter_map(|call| call.call_id.as_ref()))
    }

    fn digests<'a>(&self, ids: impl Iterator<Item = &'a String>) -> Vec<MessageId> {
        let mut digests = Vec::new();
        for id in ids {
            let digest = MessageId::new(self.source.namespace_id, id);
            if !digests.contains(&digest) {
                digests.push(digest);
            }
        }
        digests
    }

    /// Why it cannot be believed as it stands.
    pub(crate) fn doubt(&self, tokens_max: u64) -> Option<QuarantineReason> {
        let message = &self.message;
        // What goes on tells the total of the whole.
        if message.is_contradictory() && !self.continues {
            Some(QuarantineReason::ContradictoryTokens)
        } else if message.is_missing_usage() {
            Some(QuarantineReason::ZeroUsage)
        } else if message.total_tokens() > tokens_max {
            Some(QuarantineReason::TooManyTokens)
        } else {
            None
        }
    }
}
