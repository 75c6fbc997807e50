//! Hourly sums of the journal, kept in the transaction of the entries they sum.

use std::collections::BTreeMap;

use shared::api::{EntryKind, ROLLUP_PERIODS_MAX, RollupFilter, RollupPeriod, RollupSum, Rollups};
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::history::entry_kind;
use crate::journal::Link;
use crate::{Ledger, chain};

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
            Some(consumption) => {
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
            None => {
                let sum = sums.entry(key("", Uuid::nil())).or_default();
                sum.entries += 1;
                sum.amount_nano = sum.amount_nano.saturating_add(entry.amount_nano);
            }
        }
    }
    sums
}

/// The range of a filter in whole hours.
fn range(filter: &RollupFilter) -> Result<(OffsetDateTime, OffsetDateTime)> {
    let (from, to) = (hour_of(filter.from.moment()), filter.to.moment());
    let to = if hour_of(to) == to {
        to
    } else {
        hour_of(to).saturating_add(time::Duration::HOUR)
    };
    if to <= from {
        let than = filter.from.to_string();
        return Err(Problem::field("to", FieldFault::NotLater { than }).into());
    }
    let hours_max = i64::from(filter.by.hours() * ROLLUP_PERIODS_MAX);
    if (to - from).whole_hours() <= hours_max {
        return Ok((from, to));
    }
    Err(match filter.by {
        RollupPeriod::Hour => {
            let allowed = RollupPeriod::Day.as_str().to_owned();
            Problem::field("by", FieldFault::NotOneOf { allowed })
        }
        RollupPeriod::Day => Problem::field("to", FieldFault::TooLarge),
    }
    .into())
}

fn read(row: &PgRow) -> Result<RollupSum> {
    let count = |column| -> Result<u64> {
        let count: i64 = row.try_get(column)?;
        u64::try_from(count).map_err(|_| Error::corrupt("a negative token count"))
    };
    let nano: i128 = row
        .try_get::<&str, _>("amount_nano")?
        .parse()
        .map_err(|_| Error::corrupt("a rollup's amount"))?;
    let points = Points::try_from(nano)?;
    Ok(RollupSum {
        start: row
            .try_get::<Option<OffsetDateTime>, _>("start")?
            .map(Timestamp::from),
        model_name: row.try_get("model_key")?,
        source: row.try_get("source")?,
        kind: entry_kind(row.try_get("kind")?)?,
        entries: row.try_get("entries")?,
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens")?,
        points,
        points_nano: points.into(),
    })
}

impl Ledger {
    /// Sums of the journal by kind and by period, model and source, from the hourly sums alone.
    ///
    /// # Errors
    /// Field problems for `to` (not later than `from`, or too late for days) and for `by` (too many
    /// hours).
    pub async fn rollups(&self, filter: &RollupFilter) -> Result<Rollups> {
        let (from, to) = range(filter)?;
        let rows = sqlx::query(
            "with chosen as (
                 select date_bin(make_interval(hours => $3), r.hour, $1) as start, r.kind,
                        r.model_key, coalesce(k.name, '') as source, r.entries, r.input_tokens,
                        r.output_tokens, r.amount_nano
                 from rollup r left join api_key k using (api_key_id)
                 where r.hour >= $1 and r.hour < $2
                     and ($4::uuid is null or r.account_id = $4)
                     and ($5::text is null or r.model_key = $5)
                     and ($6::text is null or k.name = $6)
                     and ($7::text is null or r.kind = $7)
             )
             select start, model_key, source, kind, sum(entries)::bigint as entries,
                    sum(input_tokens)::bigint as input_tokens,
                    sum(output_tokens)::bigint as output_tokens,
                    sum(amount_nano)::text as amount_nano
             from chosen
             group by grouping sets ((kind), (kind, start), (kind, model_key), (kind, source))
             having kind = 'charge' or grouping(model_key, source) = 3
             order by start, sum(amount_nano), model_key, source, kind",
        )
        .bind(from)
        .bind(to)
        .bind(i32::try_from(filter.by.hours()).unwrap_or(1))
        .bind(filter.user_id.as_ref().map(chain::account_id))
        .bind(filter.model_name.as_ref().map(ModelName::key))
        .bind(&filter.source)
        .bind(filter.kind.map(EntryKind::as_str))
        .fetch_all(self.pool())
        .await?;
        let mut rollups = Rollups {
            from: from.into(),
            to: to.into(),
            totals: Vec::new(),
            periods: Vec::new(),
            models: Vec::new(),
            sources: Vec::new(),
        };
        for row in &rows {
            let sum = read(row)?;
            if sum.start.is_some() {
                rollups.periods.push(sum);
            } else if sum.model_name.is_some() {
                rollups.models.push(sum);
            } else if sum.source.is_some() {
                rollups.sources.push(sum);
            } else {
                rollups.totals.push(sum);
            }
        }
        Ok(rollups)
    }
}
