//! Sums of the journal.

use serde::{Deserialize, Serialize};

use super::fields::{Word, optional, word};
use super::history::EntryKind;
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::{Nano, Points};

/// Length of a rollup's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl Word for RollupPeriod {
    const WORDS: &'static [Self] = &Self::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Query of sums.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollupQuery {
    /// `hour` unless told. Days are 24 hours, counted from `from`, so that
    /// `from=2026-01-01T00:00:00%2B08:00` gives days in China.
    #[serde(default, deserialize_with = "word")]
    pub by: Option<RollupPeriod>,
    /// Inclusive; rounded down to the hour. The last 24 hours, or 30 days, unless told; 1,000 periods
    /// at most.
    #[serde(default, deserialize_with = "optional")]
    pub from: Option<Timestamp>,
    /// Exclusive; rounded up to the hour. Now unless told.
    #[serde(default, deserialize_with = "optional")]
    pub to: Option<Timestamp>,
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<UserId>,
    #[serde(default, deserialize_with = "optional")]
    pub model_name: Option<ModelName>,
    /// The name of the key that delivered the messages.
    #[serde(default, deserialize_with = "optional")]
    pub source: Option<String>,
    #[serde(default, deserialize_with = "word")]
    pub kind: Option<EntryKind>,
}

/// Which entries to sum, by when they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollupFilter {
    /// Inclusive; rounded down to the hour, and to the day (UTC) where it is more than three months ago.
    pub from: Timestamp,
    /// Exclusive; rounded up likewise.
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Journal entries; of charges, model calls. A correction counts with the first model of its message.
    pub entries: i64,
    /// Corrections are differences, so that their tokens may be fewer than none.
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// Signed: what the balances gained.
    pub points: Points,
    pub points_nano: Nano,
}

/// Sums of the journal. Periods without entries are left out. More than three months ago only days are told
/// apart (UTC): what was entered on one is in the period that it begins in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rollups {
    pub from: Timestamp,
    pub to: Timestamp,
    /// One sum for each kind.
    pub totals: Vec<RollupSum>,
    /// Oldest first.
    pub periods: Vec<RollupSum>,
    /// Of charges, and of what corrected them: the dearest first.
    pub models: Vec<RollupSum>,
    pub sources: Vec<RollupSum>,
}
