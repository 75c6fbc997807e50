//! Sums of the journal.

use serde::{Deserialize, Serialize};

use super::history::EntryKind;
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::{Nano, Points};

/// Length of a rollup's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollupPeriod {
    Hour,
    /// 24 hours, counted from the beginning of the range, so that a range that begins at somebody's
    /// midnight is told in their days.
    Day,
}

impl RollupPeriod {
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    #[must_use]
    pub const fn hours(self) -> u32 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
        }
    }
}

/// Which entries to sum, by when they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollupFilter {
    /// Inclusive; rounded down to the hour.
    pub from: Timestamp,
    /// Exclusive; rounded up to the hour.
    pub to: Timestamp,
    pub by: RollupPeriod,
    pub user_id: Option<UserId>,
    pub model_name: Option<ModelName>,
    /// The name of the key that delivered the messages.
    pub source: Option<String>,
    pub kind: Option<EntryKind>,
}

/// Periods of one answer at most.
pub const ROLLUP_PERIODS_MAX: u32 = 1000;

/// The sum of entries of one kind, in one period, of one model or from one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollupSum {
    /// When the period begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// The model's name in the form in which names are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub kind: EntryKind,
    /// Journal entries; of charges, model calls.
    pub entries: i64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Signed: what the balances gained.
    pub points: Points,
    pub points_nano: Nano,
}

/// Sums of the journal. Periods without entries are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollups {
    pub from: Timestamp,
    pub to: Timestamp,
    /// One sum for each kind.
    pub totals: Vec<RollupSum>,
    /// Oldest first.
    pub periods: Vec<RollupSum>,
    /// Of charges: the dearest first.
    pub models: Vec<RollupSum>,
    pub sources: Vec<RollupSum>,
}
