//! Sums of the journal by hours and days, models and sources, as administrators read them.

use std::collections::HashMap;

use shared::api::{EntryKind, ROLLUP_PERIODS_MAX, RollupFilter, RollupPeriod, RollupSum, Rollups};
use shared::clock::Timestamp;
use shared::money::{Overflow, Points};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Attempt, Result, refusal};
use crate::operations::ledger::Ledger;
use crate::records::usage_sum::{
    UsageClock, UsageCut, UsageFilter, UsageKey, UsageMeasures, UsageSums,
};
use crate::store::api_key;

/// Why there are no sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollupRefusal {
    /// The range ends where it begins, or before.
    EmptyRange {
        from: Timestamp,
    },
    /// The range has too many hours; it may have few enough days.
    TooManyHours,
    TooManyDays,
}

refusal!(RollupRefusal);

/// The hour that a moment belongs to.
fn hour_of(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_time(time::Time::from_hms(moment.hour(), 0, 0).unwrap_or(time::Time::MIDNIGHT))
}

/// The range of a filter in whole hours.
fn range(
    filter: &RollupFilter,
) -> std::result::Result<(OffsetDateTime, OffsetDateTime), RollupRefusal> {
    let (from, to) = (hour_of(filter.from.moment()), filter.to.moment());
    let to = if hour_of(to) == to {
        to
    } else {
        hour_of(to).saturating_add(time::Duration::HOUR)
    };
    if to <= from {
        return Err(RollupRefusal::EmptyRange { from: filter.from });
    }
    let hours_max = i64::from(filter.by.hours() * ROLLUP_PERIODS_MAX);
    if (to - from).whole_hours() <= hours_max {
        return Ok((from, to));
    }
    Err(match filter.by {
        RollupPeriod::Hour => RollupRefusal::TooManyHours,
        RollupPeriod::Day => RollupRefusal::TooManyDays,
    })
}

/// What models and sources are told of: what messages used. Other entries of messages belong to none.
const fn is_usage(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Charge | EntryKind::Correction)
}

/// The kinds that a filter leaves; absent for all.
fn kinds(filter: &RollupFilter) -> Option<Vec<EntryKind>> {
    let is_of_usage = filter.model_name.is_some() || filter.source.is_some();
    if filter.kind.is_none() && !is_of_usage {
        return None;
    }
    let kinds = EntryKind::ALL.into_iter().filter(|kind| {
        filter.kind.is_none_or(|wanted| wanted == *kind) && (is_usage(*kind) || !is_of_usage)
    });
    Some(kinds.collect())
}

impl Ledger {
    /// Sums of the journal by kind and by period, model and source.
    ///
    /// # Errors
    /// The range is empty, or has too many hours or days.
    pub async fn rollups(&self, filter: &RollupFilter) -> Attempt<Rollups, RollupRefusal> {
        let (from, to) = range(filter)?;
        let names: HashMap<Uuid, String> = api_key::names(self.pool()).await?;
        let api_key_ids: Option<Vec<Uuid>> = filter.source.as_ref().map(|source| {
            let of_source = names.iter().filter(|(_, name)| *name == source);
            of_source.map(|(id, _)| *id).collect()
        });
        let wanted = UsageFilter {
            clock: UsageClock::Booked,
            from: from.into(),
            to: to.into(),
            user_id: filter.user_id.clone(),
            kinds: kinds(filter),
            model_name: filter.model_name.clone(),
            api_key_ids,
        };
        let cut = UsageCut {
            quarters: match filter.by {
                RollupPeriod::Hour => 4,
                RollupPeriod::Day => 96,
            },
            by_kind: true,
            by_model: true,
            by_source: true,
            ..UsageCut::default()
        };
        Ok(rollups_of(self.usage_sums(&wanted, cut).await?, &names)?)
    }
}

/// What a list of sums tells apart; absent is what it does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RollupKey {
    kind: EntryKind,
    start: Option<Timestamp>,
    model_name: Option<String>,
    source: Option<String>,
}

fn rollups_of(usage: UsageSums, names: &HashMap<Uuid, String>) -> Result<Rollups> {
    let mut sums: HashMap<RollupKey, UsageMeasures> = HashMap::new();
    for (key, mut measures) in usage.sums {
        let Some(kind) = key.kind else { continue };
        if kind == EntryKind::Charge {
            measures.entries = measures.calls;
        }
        for key in keys_of(kind, key, names) {
            *sums.entry(key).or_default() += measures;
        }
    }
    let mut all: Vec<_> = sums.into_iter().filter(|(_, sum)| is_told(sum)).collect();
    all.sort_by(|(one, sum), (other, other_sum)| {
        let order = |key: &RollupKey, sum: &UsageMeasures| {
            let text = (
                key.model_name.clone(),
                key.source.clone(),
                key.kind.as_str(),
            );
            (key.start, sum.amount_nano, text)
        };
        order(one, sum).cmp(&order(other, other_sum))
    });
    let mut rollups = Rollups {
        from: usage.from,
        to: usage.to,
        totals: Vec::new(),
        periods: Vec::new(),
        models: Vec::new(),
        sources: Vec::new(),
    };
    for (key, sum) in all {
        let list = if key.start.is_some() {
            &mut rollups.periods
        } else if key.model_name.is_some() {
            &mut rollups.models
        } else if key.source.is_some() {
            &mut rollups.sources
        } else {
            &mut rollups.totals
        };
        list.push(rollup_sum(key, &sum)?);
    }
    Ok(rollups)
}

/// The sums that one is part of.
fn keys_of(kind: EntryKind, key: UsageKey, names: &HashMap<Uuid, String>) -> Vec<RollupKey> {
    let total = RollupKey {
        kind,
        start: None,
        model_name: None,
        source: None,
    };
    let period = RollupKey {
        start: key.start,
        ..total.clone()
    };
    let mut keys = vec![total.clone(), period];
    if is_usage(kind) {
        let source = key.api_key_id.and_then(|id| names.get(&id));
        let source = Some(source.cloned().unwrap_or_default());
        keys.push(RollupKey {
            source,
            ..total.clone()
        });
        // What is not owed of a cost is no model's.
        let model = key.model_key.filter(|model| !model.is_empty());
        keys.extend(model.map(|model| RollupKey {
            model_name: Some(model),
            ..total
        }));
    }
    keys
}

/// Whether there is anything to tell.
fn is_told(sum: &UsageMeasures) -> bool {
    let told = [
        sum.entries,
        sum.all_input(),
        sum.all_output(),
        sum.amount_nano,
    ];
    told != [0; 4]
}

fn rollup_sum(key: RollupKey, sum: &UsageMeasures) -> Result<RollupSum> {
    let points = Points::try_from(sum.amount_nano)?;
    let count = |count: i128| i64::try_from(count).map_err(|_| Overflow);
    Ok(RollupSum {
        start: key.start,
        model_name: key.model_name,
        source: key.source,
        kind: key.kind,
        entries: count(sum.entries)?,
        input_tokens: count(sum.all_input())?,
        output_tokens: count(sum.all_output())?,
        points,
        points_nano: points.into(),
    })
}
