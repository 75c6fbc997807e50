//! Entries of the journal, as their owner sees them.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::{Nano, Points};
use crate::price::Rates;
use crate::tokens::Tokens;

/// What kind of journal entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A message took points.
    Charge,
    /// Points of a charge were given back.
    Refund,
    /// A charge was priced again; the difference, either way.
    Rerate,
    /// Points were added.
    Grant,
    /// Points that were only good until a certain time are gone.
    Expiry,
    /// An administrator put a balance right, either way.
    Adjustment,
}

impl EntryKind {
    pub const ALL: [Self; 6] = [
        Self::Charge,
        Self::Refund,
        Self::Rerate,
        Self::Grant,
        Self::Expiry,
        Self::Adjustment,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Rerate => "rerate",
            Self::Grant => "grant",
            Self::Expiry => "expiry",
            Self::Adjustment => "adjustment",
        }
    }
}

/// One model call of a charged message, with the price version that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumptionLine {
    pub model_name: ModelName,
    pub tokens: Tokens,
    pub price_version_id: i64,
    pub price_version: i32,
    /// The version's prices, so that a receipt can be computed again by whoever reads it.
    pub rates: Rates,
    pub points: Points,
}

/// `data` of the answer to a credit or a correction: the journal entry that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedEntry {
    pub user_id: UserId,
    /// 1, 2, 3… within the account.
    pub entry: i64,
    pub kind: EntryKind,
    /// Signed: what the balance gained.
    pub points: Points,
    pub points_nano: Nano,
    pub balance: Points,
    pub balance_nano: Nano,
    /// The entry that this one puts right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects_entry: Option<i64>,
}

/// What a charge was for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumptionDetail {
    pub consumption_id: String,
    pub message_id: String,
    pub conversation_id: Option<String>,
    pub tokens_used: u64,
    pub lines: Vec<ConsumptionLine>,
}

/// One journal entry as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// 1, 2, 3… within the account.
    pub entry: i64,
    pub kind: EntryKind,
    /// Signed: what the balance gained.
    pub points: Points,
    pub points_nano: Nano,
    pub balance_after: Points,
    pub balance_after_nano: Nano,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub reason: Option<String>,
    /// The entry that this one puts right, or whose points it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects_entry: Option<i64>,
    pub consumption: Option<ConsumptionDetail>,
}

/// Filters of a history page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryFilter {
    pub model_name: Option<ModelName>,
    /// Inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub to: Option<Timestamp>,
    pub kind: Option<EntryKind>,
}
