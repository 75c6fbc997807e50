//! Entries of an account's journal: what they say. Made only by kind, so that there are none that the
//! books refuse.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shared::api::{EntryKind, PostedEntry};
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use shared::tokens::{Category, Tokens};
use shared::usage::{Evidence, LinePlace};
use time::OffsetDateTime;
use uuid::Uuid;

use super::dues::Dues;
use super::hash::{Hash, Hasher, MessageId};

/// One request to a model, as it was charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredLine", into = "StoredLine")]
pub(crate) struct EntryLine {
    pub place: LinePlace,
    /// The message's report that its price goes by.
    pub report: u32,
    pub model_name: ModelName,
    pub tokens: Tokens,
    pub evidence: Evidence,
    pub price_version_id: i64,
    pub cost_nano: i64,
}

/// A line as stored: what is 0, or as it usually is, is left out, because these rows stay for ever.
#[derive(Clone, Serialize, Deserialize)]
struct StoredLine {
    model: ModelName,
    #[serde(rename = "in", default, skip_serializing_if = "is_default")]
    input: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    cached: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    write: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    out: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    reasoning: u64,
    version: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    cost: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    by: Evidence,
    #[serde(default, skip_serializing_if = "is_default")]
    call: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    whole: u16,
    #[serde(default, skip_serializing_if = "is_default")]
    count: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    report: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<StoredLine> for EntryLine {
    fn from(line: StoredLine) -> Self {
        Self {
            place: match line.call {
                Some(call) => LinePlace::Call(call),
                None if line.count => LinePlace::Count,
                None => LinePlace::Whole(line.whole),
            },
            report: line.report,
            model_name: line.model,
            tokens: Tokens {
                input: line.input,
                cached_input: line.cached,
                cache_write: line.write,
                output: line.out,
                reasoning: line.reasoning,
            },
            evidence: line.by,
            price_version_id: line.version,
            cost_nano: line.cost,
        }
    }
}

impl From<EntryLine> for StoredLine {
    fn from(line: EntryLine) -> Self {
        let (call, whole, count) = match line.place {
            LinePlace::Call(call) => (Some(call), 0, false),
            LinePlace::Whole(whole) => (None, whole, false),
            LinePlace::Count => (None, 0, true),
        };
        Self {
            model: line.model_name,
            input: line.tokens.input,
            cached: line.tokens.cached_input,
            write: line.tokens.cache_write,
            out: line.tokens.output,
            reasoning: line.tokens.reasoning,
            version: line.price_version_id,
            cost: line.cost_nano,
            by: line.evidence,
            call,
            whole,
            count,
            report: line.report,
        }
    }
}

impl EntryLine {
    fn hash_into(&self, hash: &mut Hasher) {
        match &self.place {
            LinePlace::Call(call) => hash.optional(Some(call)),
            LinePlace::Whole(whole) => {
                hash.optional(None);
                hash.count(u64::from(*whole));
            }
            LinePlace::Count => {
                hash.optional(None);
                hash.count(u64::MAX);
            }
        }
        hash.count(u64::from(self.report));
        hash.text(self.model_name.as_str());
        for category in Category::ALL {
            hash.count(self.tokens.of(category));
        }
        hash.text(self.evidence.as_str());
        hash.int(self.price_version_id);
        hash.int(self.cost_nano);
    }
}

/// Whose report an entry charges, and what it calls the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportOrigin {
    pub api_key_id: Uuid,
    pub namespace_id: i64,
    pub entrance: Cow<'static, str>,
    pub message_id: String,
    pub conversation_id: Option<String>,
    pub request_id: Option<String>,
}

/// A message after an entry: what is to be paid of it, and what is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageCharge {
    pub message: MessageId,
    /// Absent where no report made the entry.
    pub origin: Option<ReportOrigin>,
    pub lines: Vec<EntryLine>,
    pub dues: Dues,
    /// The message's entry before this one, and its first.
    pub before: Option<EntriesBefore>,
}

/// Earlier entries of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntriesBefore {
    pub first: i64,
    pub last: i64,
}

/// Where points that come in belong in the burn order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CreditTerms {
    pub is_bought: bool,
    pub expires_at: Option<OffsetDateTime>,
}

/// What an entry says beside its amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A report, a refund or a re-rating of a message.
    Message(Box<MessageCharge>),
    /// Points that come in.
    Credit(CreditTerms),
    /// Points of a credit that run out: the entry that brought them.
    Expiry { credit: i64 },
    /// Points that an administrator takes.
    Adjustment,
}

/// What is to be entered.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub kind: EntryKind,
    pub occurred_at: OffsetDateTime,
    /// What the account gains.
    pub amount: Points,
    pub content: Content,
    pub reason: Option<String>,
    pub actor: Option<String>,
}

/// Who decided something, and why: what an auditor reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decided<'a> {
    pub reason: &'a str,
    pub actor: &'a str,
}

impl Draft {
    /// What a report changes of what its message owes: the first one charges it.
    pub(crate) fn report(
        amount: Points,
        occurred_at: OffsetDateTime,
        message: MessageCharge,
    ) -> Self {
        Self {
            kind: match message.before {
                None => EntryKind::Charge,
                Some(_) => EntryKind::Correction,
            },
            occurred_at,
            amount,
            content: Content::Message(Box::new(message)),
            reason: None,
            actor: None,
        }
    }

    /// What an administrator gives back of a message, or what other prices make of it.
    pub(crate) fn decided(
        kind: EntryKind,
        amount: Points,
        occurred_at: OffsetDateTime,
        message: MessageCharge,
        by: Decided<'_>,
    ) -> Self {
        Self {
            kind,
            occurred_at,
            amount,
            content: Content::Message(Box::new(message)),
            reason: Some(by.reason.to_owned()),
            actor: Some(by.actor.to_owned()),
        }
    }

    /// Points that an administrator gives, or takes where they are negative.
    pub(crate) fn points(
        amount: Points,
        occurred_at: OffsetDateTime,
        terms: CreditTerms,
        by: Decided<'_>,
    ) -> Self {
        let (kind, content) = if amount.is_negative() {
            (EntryKind::Adjustment, Content::Adjustment)
        } else {
            (EntryKind::Grant, Content::Credit(terms))
        };
        Self {
            kind,
            occurred_at,
            amount,
            content,
            reason: Some(by.reason.to_owned()),
            actor: Some(by.actor.to_owned()),
        }
    }

    /// What is left of a credit that is past its time.
    pub(crate) fn expiry(amount: Points, occurred_at: OffsetDateTime, credit: i64) -> Self {
        Self {
            kind: EntryKind::Expiry,
            occurred_at,
            amount,
            content: Content::Expiry { credit },
            reason: Some("expired".to_owned()),
            actor: Some("tollgate".to_owned()),
        }
    }
}

/// An entry of an account's journal.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub account_id: Uuid,
    pub entry: i64,
    pub recorded_at: OffsetDateTime,
    pub balance_after_nano: i64,
    pub draft: Draft,
}

impl Entry {
    pub(crate) fn message(&self) -> Option<&MessageCharge> {
        match &self.draft.content {
            Content::Message(message) => Some(message),
            _ => None,
        }
    }

    pub(crate) fn amount_nano(&self) -> i64 {
        self.draft.amount.nano()
    }

    pub(crate) fn corrects_entry(&self) -> Option<i64> {
        match &self.draft.content {
            Content::Message(message) => message.before.map(|before| before.first),
            Content::Expiry { credit } => Some(*credit),
            Content::Credit(_) | Content::Adjustment => None,
        }
    }

    /// What whoever asked for the entry is told.
    pub(crate) fn posted(&self, user: &UserId) -> PostedEntry {
        let balance = Points::from_nano(self.balance_after_nano);
        PostedEntry {
            user_id: user.clone(),
            entry: self.entry,
            kind: self.draft.kind,
            points: self.draft.amount,
            points_nano: self.draft.amount.into(),
            balance,
            balance_nano: balance.into(),
            corrects_entry: self.corrects_entry(),
        }
    }

    /// Its place in the account's chain: a hash of every stored field, and of the hash before it, so
    /// that no row can be changed, removed or reordered without breaking every later one.
    pub(crate) fn hash(&self, previous: &Hash) -> Hash {
        let mut hash = Hasher::new("tollgate entry 2");
        hash.bytes(previous);
        hash.bytes(self.account_id.as_bytes());
        hash.int(self.entry);
        hash.moment(self.recorded_at);
        hash.moment(self.draft.occurred_at);
        hash.text(self.draft.kind.as_str());
        hash.int(self.amount_nano());
        hash.int(self.balance_after_nano);
        hash.int(self.corrects_entry().unwrap_or(0));
        hash.optional(self.draft.reason.as_deref());
        hash.optional(self.draft.actor.as_deref());
        match &self.draft.content {
            Content::Message(message) => message.hash_into(&mut hash),
            Content::Credit(terms) => {
                hash.count(terms.is_bought.into());
                hash.optional_moment(terms.expires_at);
            }
            Content::Expiry { .. } | Content::Adjustment => {}
        }
        hash.finish()
    }
}

impl MessageCharge {
    fn hash_into(&self, hash: &mut Hasher) {
        hash.bytes(self.message.0.as_bytes());
        hash.int(self.before.map_or(0, |before| before.last));
        if let Some(origin) = &self.origin {
            hash.bytes(origin.api_key_id.as_bytes());
            hash.int(origin.namespace_id);
            hash.text(&origin.entrance);
            hash.text(&origin.message_id);
            hash.optional(origin.conversation_id.as_deref());
            hash.optional(origin.request_id.as_deref());
        }
        for nano in [
            self.dues.cost_nano,
            self.dues.owed_nano,
            self.dues.basis_nano,
            self.dues.cap_nano,
        ] {
            hash.int(nano);
        }
        for line in &self.lines {
            line.hash_into(hash);
        }
    }
}

pub(crate) fn total_tokens(lines: &[EntryLine]) -> u64 {
    lines
        .iter()
        .fold(0, |sum: u64, line| sum.saturating_add(line.tokens.total()))
}
