//! Sums of some steps, in memory.

use std::collections::HashMap;

use shared::api::EntryKind;
use shared::usage::Evidence;
use uuid::Uuid;

use super::quarter::Quarter;
use crate::records::usage_sum::UsageMeasures;

/// What sums are told apart by, beside account and time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Dimension {
    pub kind: EntryKind,
    /// Empty and absent for what belongs to no line.
    pub model_key: String,
    pub evidence: Option<Evidence>,
    /// Nil for what belongs to no message.
    pub api_key_id: Uuid,
}

/// What one row sums.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SumKey {
    pub account_id: Uuid,
    pub booked: Quarter,
    pub happened: Quarter,
    pub dimension: Dimension,
}

/// Sums of some steps.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// What was entered before is summed by days.
    folded_until: Quarter,
    sums: HashMap<SumKey, UsageMeasures>,
}

impl Sums {
    pub(crate) fn new(folded_until: Quarter) -> Self {
        Self {
            folded_until,
            sums: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, mut key: SumKey, measures: UsageMeasures) {
        if key.booked < self.folded_until {
            key.booked = key.booked.day();
            key.happened = key.happened.day();
        }
        *self.sums.entry(key).or_default() += measures;
    }

    /// Takes out those of the accounts up to one.
    pub(crate) fn split_off(&mut self, last_account: Uuid) -> Self {
        let all = std::mem::take(&mut self.sums).into_iter();
        let (of_accounts, rest) = all.partition(|(key, _)| key.account_id <= last_account);
        self.sums = rest;
        Self {
            folded_until: self.folded_until,
            sums: of_accounts,
        }
    }

    /// Those that are not nothing.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = (SumKey, UsageMeasures)> {
        let rows = self.sums.into_iter();
        rows.filter(|(_, measures)| !measures.is_zero())
    }
}
