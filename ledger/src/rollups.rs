//! Hourly sums of the journal, kept in the transaction of the entries they sum.

use std::collections::BTreeMap;

use shared::api::EntryKind;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::journal::Link;

/// What a sum is of, within one hour.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key<'a> {
    pub account_id: Uuid,
    pub kind: &'static str,
    /// Empty where there is no model.
    pub model_key: &'a str,
    /// Nil where there is no source.
    pub api_key_id: Uuid,
}

#[derive(Default)]
pub(crate) struct Sums {
    pub entries: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub amount_nano: i64,
}

/// The hour that a moment belongs to.
pub(crate) fn hour_of(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_time(time::Time::from_hms(moment.hour(), 0, 0).unwrap_or(time::Time::MIDNIGHT))
}

/// Sums entries that were recorded in the same hour. A charge is split by the models of its lines.
pub(crate) fn sum(links: &[Link]) -> BTreeMap<Key<'_>, Sums> {
    let mut sums: BTreeMap<Key<'_>, Sums> = BTreeMap::new();
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    for link in links {
        let entry = &link.entry;
        let key = |model_key, api_key_id| Key {
            account_id: entry.account_id,
            kind: entry.kind.as_str(),
            model_key,
            api_key_id,
        };
        match &entry.consumption {
            Some(consumption) if entry.kind == EntryKind::Charge => {
                for line in &consumption.lines {
                    let sum = sums
                        .entry(key(line.model_key.as_str(), consumption.api_key_id))
                        .or_default();
                    let tokens = &line.tokens;
                    sum.entries += 1;
                    sum.input_tokens = sum
                        .input_tokens
                        .saturating_add(count(tokens.input))
                        .saturating_add(count(tokens.cached_input))
                        .saturating_add(count(tokens.cache_write));
                    sum.output_tokens = sum
                        .output_tokens
                        .saturating_add(count(tokens.output))
                        .saturating_add(count(tokens.reasoning));
                    sum.amount_nano = sum.amount_nano.saturating_sub(line.charge_nano);
                }
            }
            _ => {
                let sum = sums.entry(key("", Uuid::nil())).or_default();
                sum.entries += 1;
                sum.amount_nano = sum.amount_nano.saturating_add(entry.amount_nano);
            }
        }
    }
    sums
}
