//! Entries: what they say, and their place in the chain. The locked accounts append and write them.

use shared::api::{EntryKind, PostedEntry};
use shared::dify::Evidence;
use shared::ids::UserId;
use shared::money::Points;
use time::OffsetDateTime;

use crate::chain::{Entry, Hash};
use crate::consumption::Consumption;
use crate::error::{Error, Result};

/// What is to be entered.
pub(crate) struct Draft {
    pub occurred_at: OffsetDateTime,
    pub kind: EntryKind,
    /// What the account gains.
    pub amount: Points,
    pub corrects_entry: Option<i64>,
    pub reason: Option<String>,
    pub actor: Option<String>,
    pub consumption: Option<Claim>,
    /// What becomes of points that come in.
    pub terms: CreditTerms,
}

/// What a charge charges, and the identity that it claims for its message.
pub(crate) struct Claim {
    pub consumption: Consumption,
    pub identity: Identity,
}

impl Draft {
    /// What a message cost.
    pub(crate) fn charge(amount: Points, claim: Claim) -> Self {
        Self {
            occurred_at: claim.consumption.occurred_at,
            kind: EntryKind::Charge,
            amount,
            corrects_entry: None,
            reason: None,
            actor: None,
            consumption: Some(claim),
            terms: CreditTerms::default(),
        }
    }
}

/// A claim, without what the entry itself says.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub fingerprint: Hash,
    pub evidence: Evidence,
    pub is_itemized: bool,
    /// The earlier parts of its message whose place it takes.
    pub replaces: Vec<i32>,
    /// Further ids of the message, with the fingerprint of what they stand for.
    pub aliases: Vec<(String, Hash)>,
}

/// Where points that come in belong in the burn order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CreditTerms {
    pub is_bought: bool,
    pub expires_at: Option<OffsetDateTime>,
}

/// An entry with its place in the chain.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub entry: Entry,
    pub previous_hash: Hash,
    pub hash: Hash,
    /// What it claims for the message that it charges.
    pub identity: Option<Identity>,
}

impl Link {
    /// What whoever asked for the entry is told.
    pub(crate) fn posted(&self, user: &UserId) -> PostedEntry {
        let points = Points::from_nano(self.entry.amount_nano);
        let balance = Points::from_nano(self.entry.balance_after_nano);
        PostedEntry {
            user_id: user.clone(),
            entry: self.entry.entry,
            kind: self.entry.kind,
            points,
            points_nano: points.into(),
            balance,
            balance_nano: balance.into(),
            corrects_entry: self.entry.corrects_entry,
        }
    }
}

/// The account on the other side of a transfer.
pub(crate) const fn counter_account(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Charge | EntryKind::Refund | EntryKind::Rerate => "revenue",
        EntryKind::Grant => "issuance",
        EntryKind::Expiry => "expiry",
        EntryKind::Adjustment => "adjustment",
    }
}

pub(crate) fn hash_from(bytes: Vec<u8>) -> Result<Hash> {
    bytes
        .try_into()
        .map_err(|_| Error::corrupt("a hash that is not 32 bytes long"))
}
