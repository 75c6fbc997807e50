//! From what a message used to what it cost: price, once, charge, commit in a group.

mod commit;
mod group;
mod known;
mod sightings;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::api::WebhookAnswer;
use shared::clock::Timestamp;
use shared::dify::{MessageUsage, ModelCall};
use shared::ids::ModelName;
use shared::money::{Overflow, Points};
use shared::price::{PriceBook, Unpriced};
use shared::problem::Problem;
use shared::quote::quote;
use shared::tokens::Tokens;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::{Hash, Hasher};
use crate::error::Result;
use crate::{Actor, ApiKey, Ledger, holds};

pub(crate) use group::Group;
pub(crate) use known::entrance;
pub use sightings::{Difference, SightingSummary};

/// Which way a message came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entrance {
    Webhook,
    /// The settlement of a hold over REST.
    Settlement,
    /// What the gateway saw go by.
    Gateway,
    Langfuse,
    /// The OpenAI-compatible gateway, one message for each model call.
    Openai,
    /// What Dify had served and nobody had reported, charged after an administrator's review.
    Review,
}

impl Entrance {
    pub const ALL: [Self; 6] = [
        Self::Webhook,
        Self::Settlement,
        Self::Gateway,
        Self::Langfuse,
        Self::Openai,
        Self::Review,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Settlement => "settlement",
            Self::Gateway => "gateway",
            Self::Langfuse => "langfuse",
            Self::Openai => "openai",
            Self::Review => "review",
        }
    }

    /// Whether two entrances are told of a message by the same party, who must say the same each
    /// time: the operator's own systems use both the webhook and settlements.
    fn reports_like(self, other: Self) -> bool {
        let party = |entrance| match entrance {
            Self::Settlement => Self::Webhook,
            entrance => entrance,
        };
        party(self) == party(other)
    }
}

/// A message, as an authenticated source reported it.
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
    /// The numbers are cumulative for the message, which may have been charged for some of them:
    /// only the difference is charged.
    pub continues: bool,
    /// The waiting row whose message this is.
    pub(crate) resolves: Option<Resolution>,
    /// The administrator who decided that a message which nobody reported is to be charged.
    pub(crate) reviewed_by: Option<Actor>,
}

/// A message leaves quarantine, by a price or by an administrator: it is charged whatever kept it
/// waiting, as long as it has a price.
#[derive(Debug, Clone)]
pub(crate) struct Resolution {
    pub quarantine_id: Uuid,
    /// The administrator, and what had been reported.
    pub by: Option<(Actor, Option<MessageUsage>)>,
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

    /// Whether it is about nothing but its message.
    pub(crate) const fn is_plain(&self) -> bool {
        self.hold_id.is_none() && self.resolves.is_none() && self.reviewed_by.is_none()
    }

    /// A message that this process itself put together, now: it is its own body.
    #[must_use]
    pub fn told(source: Arc<ApiKey>, entrance: Entrance, message: MessageUsage) -> Self {
        let body = serde_json::to_vec(&message).unwrap_or_default();
        let now = OffsetDateTime::now_utc().into();
        Self::new(source, entrance, message, body, now)
    }

    /// Settles a hold of its user with it. What was used is charged, whatever became of the hold;
    /// what is no hold settles none.
    #[must_use]
    pub fn settling(mut self, hold_id: Option<&str>) -> Self {
        self.hold_id = hold_id.and_then(|hold_id| holds::parse_id(hold_id).ok());
        self
    }

    /// When the message happened: what the sender says, but never after its arrival nor after
    /// `now`, the database's time under the price lock, so that no clock that runs fast, neither
    /// the sender's nor this server's, chooses a price that is published later.
    fn occurred_at(&self, now: Timestamp) -> Timestamp {
        self.message
            .occurred_at
            .map_or(self.received_at, |at| at.min(self.received_at))
            .min(now)
    }

    fn fingerprint(&self) -> Hash {
        fingerprint_of(self.message.user_id.as_str(), &self.message.calls)
    }

    /// Whether it tells one by one what was charged before by a sum: by that of the whole, which it
    /// tells too, or by a later one of the same party.
    fn is_charged_by_its_sum(&self, is_own: bool, charged_tokens: i64) -> bool {
        let total = match self.message.reported_total {
            Some(total) if self.continues && total > 0 => Some(total),
            _ if is_own && !self.continues && self.message.is_estimated() => {
                Some(self.message.total_tokens())
            }
            _ => None,
        };
        let total = total.and_then(|total| i64::try_from(total).ok());
        self.message.is_itemized() && total.is_some_and(|total| total <= charged_tokens)
    }

    /// Whether more of the same message may follow under other numbers.
    fn grows(&self) -> bool {
        self.continues || self.message.is_itemized()
    }
}

fn fingerprint_of(user_id: &str, calls: &[ModelCall]) -> Hash {
    fingerprint(
        user_id,
        calls
            .iter()
            .map(|call| (call.model_name.key(), &call.tokens)),
    )
}

/// Equal for two messages exactly when they are the same use by the same user. Models by their keys.
pub(crate) fn fingerprint<'a, Key: AsRef<str>>(
    user_id: &str,
    calls: impl Iterator<Item = (Key, &'a Tokens)>,
) -> Hash {
    let mut hash = Hasher::new("tollgate message 1");
    hash.text(user_id);
    for (model_key, tokens) in calls {
        hash.text(model_key.as_ref());
        hash_tokens(&mut hash, tokens);
    }
    hash.finish()
}

fn hash_tokens(hash: &mut Hasher, tokens: &Tokens) {
    for category in shared::tokens::Category::ALL {
        hash.count(tokens.of(category));
    }
}

/// One model call of a charged message, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// Where the call is known apart from the rest of its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    pub model_name: ModelName,
    /// How the model is compared and searched.
    pub model_key: String,
    pub tokens: Tokens,
    pub price_version_id: i64,
    pub charge_nano: i64,
}

/// What a charged message used, as stored.
#[derive(Debug, Clone)]
pub(crate) struct Consumption {
    pub consumption_id: Uuid,
    pub namespace_id: i64,
    pub message_id: String,
    /// Which charge of its message this is, from 0 up.
    pub part: i32,
    pub conversation_id: Option<String>,
    pub request_id: Option<String>,
    pub api_key_id: Uuid,
    pub entrance: String,
    pub occurred_at: OffsetDateTime,
    pub total_tokens: i64,
    pub charge_nano: i64,
    pub lines: Vec<Line>,
}

impl Consumption {
    /// Whether every call is known apart.
    pub(crate) fn is_itemized(&self) -> bool {
        !self.lines.is_empty() && self.lines.iter().all(|line| line.call_id.is_some())
    }

    pub(crate) fn hash_into(&self, hash: &mut Hasher) {
        hash.bytes(self.consumption_id.as_bytes());
        hash.int(self.namespace_id);
        hash.text(&self.message_id);
        hash.optional(self.conversation_id.as_deref());
        hash.optional(self.request_id.as_deref());
        hash.bytes(self.api_key_id.as_bytes());
        hash.text(&self.entrance);
        hash.moment(self.occurred_at);
        hash.int(self.total_tokens);
        hash.int(self.charge_nano);
        // What only some consumptions have begins with a byte that no line begins with.
        if self.part > 0 {
            hash.optional(Some(&self.part.to_string()));
        }
        for line in &self.lines {
            hash.text(line.model_name.as_str());
            hash.text(&line.model_key);
            hash_tokens(hash, &line.tokens);
            hash.int(line.price_version_id);
            hash.int(line.charge_nano);
            if line.call_id.is_some() {
                hash.optional(line.call_id.as_deref());
            }
        }
    }
}

/// The public form of a consumption's id.
pub(crate) fn public_id(consumption_id: Uuid) -> String {
    format!("cons_{}", consumption_id.simple())
}

/// Reads the public form; what is none names no consumption.
pub(crate) fn parse_id(text: &str) -> Result<Uuid> {
    text.strip_prefix("cons_")
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Problem::NotFound.into())
}

/// Why a message has no charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPriced {
    Unpriced(Unpriced),
    Overflow,
}

impl From<Overflow> for NotPriced {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// Prices every call of a message by the versions in force when it happened; the charge is the
/// sum of the lines.
pub(crate) fn price(
    book: &PriceBook,
    message: &MessageUsage,
    occurred_at: Timestamp,
) -> std::result::Result<(Vec<Line>, Points), NotPriced> {
    let mut lines = Vec::with_capacity(message.calls.len());
    let mut charge = Points::ZERO;
    for call in &message.calls {
        let version = book
            .in_force(&call.model_name, occurred_at)
            .map_err(NotPriced::Unpriced)?;
        let points = quote(&version.rates, &call.tokens)?.points;
        charge = charge.plus(points)?;
        lines.push(Line {
            call_id: call.call_id.clone(),
            model_key: call.model_name.key(),
            model_name: call.model_name.clone(),
            tokens: call.tokens,
            price_version_id: version.id,
            charge_nano: points.nano(),
        });
    }
    Ok((lines, charge))
}

impl Ledger {
    /// Takes a message in: charges it once, or keeps it in quarantine. It is on its way when this
    /// returns; what is returned waits for the commit that contains it.
    ///
    /// # Errors
    /// `MessageConflict` when the message was delivered before with other numbers (recorded);
    /// `Busy` when the queue is full or Postgres is away (nothing recorded: deliver it again).
    pub fn deliver(
        &self,
        delivery: Delivery,
    ) -> impl Future<Output = Result<WebhookAnswer>> + use<> {
        self.inner.group.submit(delivery)
    }
}
