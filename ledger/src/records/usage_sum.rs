//! Sums of the journal: which are asked for, and what is summed.

use std::collections::HashMap;
use std::ops::AddAssign;

use shared::api::EntryKind;
use shared::clock::Timestamp;
use shared::ids::{ModelName, UserId};
use shared::usage::Evidence;
use uuid::Uuid;

/// By which clock a time is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageClock {
    /// When it was entered.
    Booked,
    /// When the message happened, whatever corrected it later.
    Happened,
}

/// What to sum; what is absent does not choose.
#[derive(Debug, Clone)]
pub struct UsageFilter {
    pub clock: UsageClock,
    /// Inclusive; rounded down to a quarter of an hour, and to the day (UTC) where sums are kept by days.
    pub from: Timestamp,
    /// Exclusive; rounded up likewise.
    pub to: Timestamp,
    pub user_id: Option<UserId>,
    pub kinds: Option<Vec<EntryKind>>,
    pub model_name: Option<ModelName>,
    pub api_key_ids: Option<Vec<Uuid>>,
}

/// What sums are to be told apart by.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsageCut {
    /// Periods of so many quarters of an hour, counted from the beginning; 0 for all in one.
    pub quarters: u16,
    pub by_account: bool,
    pub by_kind: bool,
    pub by_model: bool,
    pub by_evidence: bool,
    pub by_source: bool,
}

/// What one sum is of; what it is not told apart by is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct UsageKey {
    /// When its period begins.
    pub start: Option<Timestamp>,
    pub account_id: Option<Uuid>,
    pub kind: Option<EntryKind>,
    /// The model's name in the form in which names are compared; empty for what belongs to no model.
    pub model_key: Option<String>,
    /// Within: absent for what belongs to no model.
    pub evidence: Option<Option<Evidence>>,
    /// The source that charged the message first; nil for what belongs to none.
    pub api_key_id: Option<Uuid>,
}

/// Sums that are not nothing.
#[derive(Debug, Clone)]
pub struct UsageSums {
    /// The time that they are of.
    pub from: Timestamp,
    pub to: Timestamp,
    pub sums: HashMap<UsageKey, UsageMeasures>,
}

/// What is summed. Corrections add differences, so that any of it may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageMeasures {
    /// Each once, with the first line of its message.
    pub entries: i128,
    /// Each once, with its first line.
    pub messages: i128,
    /// Requests to models.
    pub calls: i128,
    pub input: i128,
    pub cached_input: i128,
    pub cache_write: i128,
    pub output: i128,
    pub reasoning: i128,
    /// What balances gained. Of a model it is the cost of its lines, negated; what a refund makes of that
    /// belongs to none.
    pub amount_nano: i128,
    pub cost_nano: i128,
}

/// How many measures there are.
const COUNT: usize = 10;

impl UsageMeasures {
    /// All that went in.
    #[must_use]
    pub const fn all_input(&self) -> i128 {
        self.input + self.cached_input + self.cache_write
    }

    /// All that came out.
    #[must_use]
    pub const fn all_output(&self) -> i128 {
        self.output + self.reasoning
    }

    /// In the order of the columns.
    pub(crate) const fn all(&self) -> [i128; COUNT] {
        [
            self.entries,
            self.messages,
            self.calls,
            self.input,
            self.cached_input,
            self.cache_write,
            self.output,
            self.reasoning,
            self.amount_nano,
            self.cost_nano,
        ]
    }

    pub(crate) const fn from_all(all: [i128; COUNT]) -> Self {
        let [
            entries,
            messages,
            calls,
            input,
            cached_input,
            cache_write,
            output,
            reasoning,
            amount_nano,
            cost_nano,
        ] = all;
        Self {
            entries,
            messages,
            calls,
            input,
            cached_input,
            cache_write,
            output,
            reasoning,
            amount_nano,
            cost_nano,
        }
    }

    pub(crate) fn negated(self) -> Self {
        Self::from_all(self.all().map(|measure| -measure))
    }

    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for UsageMeasures {
    fn add_assign(&mut self, other: Self) {
        let mut all = self.all();
        for (sum, measure) in all.iter_mut().zip(other.all()) {
            *sum += measure;
        }
        *self = Self::from_all(all);
    }
}
