//! Reads sums by any cut: those that are kept, and what was entered after the mark.

use std::collections::HashMap;

use shared::ids::ModelName;
use sqlx::PgConnection;

use super::journal::steps_of;
use super::quarter::Quarter;
use super::rows::{SumKey, Sums};
use crate::error::{Error, Result};
use crate::records::hash::account_id;
use crate::records::usage_sum::{
    UsageClock, UsageCut, UsageFilter, UsageKey, UsageMeasures, UsageSums,
};
use crate::store::journal_step::{Horizon, next_stretch};
use crate::store::usage_sum::{self as store, SumRow, evidence_of, kind_of};

/// Rows of the journal that are looked at together.
const ROWS_MAX: i64 = 5000;

/// Sums up the journal as a cut asks for it, in a transaction that reads as of one moment
/// ([`store::BEGIN_READING`]).
pub(crate) async fn sums(
    tx: &mut PgConnection,
    filter: &UsageFilter,
    cut: UsageCut,
) -> Result<UsageSums> {
    let mark = store::mark(&mut *tx).await?;
    let folded_until = Quarter(mark.folded_until);
    let wanted = Wanted::new(filter, cut, folded_until);
    let mut sums: HashMap<UsageKey, UsageMeasures> = HashMap::new();
    for row in store::sums(tx, (wanted.from.0, wanted.to.0), filter, cut).await? {
        let (key, measures) = kept(row)?;
        *sums.entry(key).or_default() += measures;
    }
    let only = filter.user_id.as_ref().map(account_id);
    let mut at = mark.tx;
    while let Some(stretch) = next_stretch(tx, at, ROWS_MAX, Horizon::Visible).await? {
        let mut entered = Sums::new(folded_until);
        for step in steps_of(tx, stretch, only).await? {
            step.add_to(&mut entered);
        }
        for (key, measures) in entered.into_rows().filter(|(key, _)| wanted.has(key)) {
            *sums.entry(wanted.cut(key)).or_default() += measures;
        }
        at = stretch.until;
        if at == u64::MAX {
            break;
        }
    }
    sums.retain(|_, measures| !measures.is_zero());
    Ok(UsageSums {
        from: wanted.from.start().into(),
        to: wanted.to.start().into(),
        sums,
    })
}

fn kept(row: SumRow) -> Result<(UsageKey, UsageMeasures)> {
    let key = UsageKey {
        start: row.period.map(|period| Quarter(period).start().into()),
        account_id: row.account_id,
        kind: row.kind.as_deref().map(kind_of).transpose()?,
        model_key: row.model_key,
        evidence: row.evidence.as_deref().map(evidence_of).transpose()?,
        api_key_id: row.api_key_id,
    };
    Ok((key, measures_of(&row.measures)?))
}

/// Reads what is told in texts.
pub(crate) fn measures_of(texts: &[String]) -> Result<UsageMeasures> {
    let corrupt = || Error::corrupt("a sum that is no whole number");
    let all: Vec<i128> = texts
        .iter()
        .map(|text| text.parse().map_err(|_| corrupt()))
        .collect::<Result<_>>()?;
    let all = all.try_into().map_err(|_| corrupt())?;
    Ok(UsageMeasures::from_all(all))
}

/// What is asked for, of rows in memory.
struct Wanted<'a> {
    filter: &'a UsageFilter,
    model_key: Option<String>,
    cut: UsageCut,
    from: Quarter,
    to: Quarter,
}

impl<'a> Wanted<'a> {
    fn new(filter: &'a UsageFilter, cut: UsageCut, folded_until: Quarter) -> Self {
        let mut from = Quarter::of(filter.from.moment());
        let mut to = Quarter::of(filter.to.moment());
        if to.start() < filter.to.moment() {
            to = to.plus(1);
        }
        if from < folded_until {
            from = from.day();
        }
        if to < folded_until {
            to = to.next_day();
        }
        Self {
            filter,
            model_key: filter.model_name.as_ref().map(ModelName::key),
            cut,
            from,
            to,
        }
    }

    const fn time_of(&self, key: &SumKey) -> Quarter {
        match self.filter.clock {
            UsageClock::Booked => key.booked,
            UsageClock::Happened => key.happened,
        }
    }

    fn has(&self, key: &SumKey) -> bool {
        let dimension = &key.dimension;
        let (kinds, ids) = (&self.filter.kinds, &self.filter.api_key_ids);
        let model_key = self.model_key.as_ref();
        (self.from..self.to).contains(&self.time_of(key))
            && kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&dimension.kind))
            && model_key.is_none_or(|model| *model == dimension.model_key)
            && ids
                .as_ref()
                .is_none_or(|ids| ids.contains(&dimension.api_key_id))
    }

    fn cut(&self, key: SumKey) -> UsageKey {
        let (cut, quarters) = (self.cut, i32::from(self.cut.quarters));
        let since = self.time_of(&key).0 - self.from.0;
        let start = (quarters > 0).then(|| self.from.plus(since / quarters * quarters));
        let dimension = key.dimension;
        UsageKey {
            start: start.map(|start| start.start().into()),
            account_id: cut.by_account.then_some(key.account_id),
            kind: cut.by_kind.then_some(dimension.kind),
            model_key: cut.by_model.then_some(dimension.model_key),
            evidence: cut.by_evidence.then_some(dimension.evidence),
            api_key_id: cut.by_source.then_some(dimension.api_key_id),
        }
    }
}
