//! Entries of the journal, as their owner sees them.

use serde::{Deserialize, Serialize};

use super::envelope::PAGE_ITEMS_MAX;
use super::fields::{Word, optional, within, word};
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::{Nano, Points};
use crate::price::Rates;
use crate::tokens::Tokens;

/// What kind of journal entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A message took points.
    Charge,
    /// A later report of a message changed what it costs, either way.
    Correction,
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
    pub const ALL: [Self; 7] = [
        Self::Charge,
        Self::Correction,
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
            Self::Correction => "correction",
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// Query of a page of a user's history, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistoryQuery {
    #[serde(default, deserialize_with = "optional")]
    pub model_name: Option<ModelName>,
    /// Inclusive.
    #[serde(default, deserialize_with = "optional")]
    pub from: Option<Timestamp>,
    /// Exclusive.
    #[serde(default, deserialize_with = "optional")]
    pub to: Option<Timestamp>,
    #[serde(default, deserialize_with = "word")]
    pub kind: Option<EntryKind>,
    /// Where the page begins: `nextCursor` of the page before.
    #[serde(default, deserialize_with = "optional")]
    pub cursor: Option<String>,
    /// Items of a page at most; 20 unless told.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    #[serde(default, deserialize_with = "within::<_, 1, PAGE_ITEMS_MAX>")]
    pub limit: Option<u32>,
    /// Whom a key or an administrator asks for.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<UserId>,
}

impl Word for EntryKind {
    const WORDS: &'static [Self] = &Self::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}
