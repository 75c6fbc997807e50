//! A user's journal, page by page.

use std::collections::HashMap;
use std::str::FromStr;

use shared::api::{
    ConsumptionDetail, ConsumptionLine, EntryKind, HistoryFilter, HistoryItem, Page,
};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::price::PriceVersion;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::{Duration, OffsetDateTime, Time, UtcOffset};
use uuid::Uuid;

use crate::consumption::{Line, public_id};
use crate::error::{Error, Result};
use crate::{Ledger, chain, page, prices};

pub(crate) fn entry_kind(text: &str) -> Result<EntryKind> {
    EntryKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("entry kind {text}")))
}

/// How far back the first look goes; as a rule a page is found there. Each further look goes back
/// four times as far. A look reads the partitions of its months only.
const FIRST_LOOK: Duration = Duration::days(31);
/// So much is rather read than skipped.
const SKIP_MIN: Duration = Duration::DAY;
/// More than clocks are ever set back: entries whose times lie closer to a look's end than this may
/// stand in another order than their times.
const CLOCK_STEP_MAX: Duration = Duration::HOUR;

/// Each look is planned for its months, and goes through the keys: from the newest entry back, until
/// the page is full.
const BEGIN: &str = "begin read only; set local plan_cache_mode = force_custom_plan;
    set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
    set local enable_bitmapscan = off; set local enable_sort = off; set local jit = off";

/// The rows of entries that a condition on `j` and `c` picks.
macro_rules! entries {
    ($condition:expr) => {
        entries!("", $condition)
    };
    ($joined:expr, $condition:expr) => {
        concat!(
            "select j.entry, j.kind, j.amount_nano, j.balance_after_nano, j.occurred_at,
                    j.recorded_at, j.reason, j.corrects_entry, c.consumption_id, c.message_id, c.conversation_id,
                    c.total_tokens, c.lines
             from journal_entry j
             left join consumption c on c.account_id = j.account_id and c.entry = j.entry
                 and c.recorded_at = j.recorded_at ",
            $joined,
            " where j.account_id = $1 and ",
            $condition
        )
    };
}

/// What is entered later than this after it happened is found by an index of its own.
const LATE: Duration = Duration::HOUR;

/// A look at entries that were recorded within a time, from the newest back.
struct Look<'a> {
    account_id: Uuid,
    filter: &'a HistoryFilter,
    model: &'a Option<serde_json::Value>,
    before: i64,
    since: OffsetDateTime,
    until: OffsetDateTime,
}

/// The rows of a look, of which `$kind` picks some.
macro_rules! look {
    ($look:expr, $since:expr, $tx:expr, $limit:expr, $kind:literal) => {
        sqlx::query(entries!(
            "and c.recorded_at >= $8 and c.recorded_at < $9",
            concat!(
                "j.recorded_at >= $8 and j.recorded_at < $9 and j.entry < $2
                     and ($3::text is null or j.kind = $3)
                     and ($4::timestamptz is null or j.occurred_at >= $4)
                     and ($5::timestamptz is null or j.occurred_at < $5)
                     and ($6::jsonb is null or c.lines @> $6) ",
                $kind,
                " order by j.entry desc limit $7"
            )
        ))
        .bind($look.account_id)
        .bind($look.before)
        .bind($look.filter.kind.map(EntryKind::as_str))
        .bind($look.filter.from.map(Timestamp::moment))
        .bind($look.filter.to.map(Timestamp::moment))
        .bind($look.model)
        .bind($limit)
        .bind($since)
        .bind($look.until)
        .bind($look.since)
        .fetch_all($tx)
        .await
    };
}

impl Look<'_> {
    /// Where a model or a kind is asked for, goes back to the last hour that has some, as the rollups
    /// tell; `false` when there is none.
    async fn skip_to_last_hour(&mut self, tx: &mut PgConnection) -> Result<bool> {
        let (kind, model_key) = match (&self.filter.model_name, self.filter.kind) {
            // Only charges have a model.
            (Some(model), _) => (EntryKind::Charge, model.key()),
            // Charges are never far, and those without a model call are in no rollup.
            (None, None | Some(EntryKind::Charge)) => return Ok(true),
            (None, Some(kind)) => (kind, String::new()),
        };
        let hour: Option<OffsetDateTime> = sqlx::query_scalar(
            "select hour from rollup
             where account_id = $1 and kind = $3 and model_key = $4 and hour < $2
             order by hour desc limit 1",
        )
        .bind(self.account_id)
        .bind(self.until)
        .bind(kind.as_str())
        .bind(model_key)
        .fetch_optional(tx)
        .await?;
        if let Some(hour) = hour {
            self.until = self.until.min(hour + Duration::HOUR);
        }
        Ok(hour.is_some())
    }

    /// Goes back to the first entry that was recorded at the look's end or later, by halving the
    /// entries of that month: they are numbered without a gap, and what was entered since is not read.
    async fn skip_to_end(&mut self, tx: &mut PgConnection) -> Result<()> {
        // No later entry can have been recorded before the end.
        let end = self.until + CLOCK_STEP_MAX;
        let (from, to) = month_of(end)?;
        let first: Option<i64> = sqlx::query_scalar(
            "with recursive search (low, high) as (
                 select (select entry from journal_entry
                         where account_id = $1 and recorded_at >= $3 and recorded_at < $4
                         order by entry limit 1) - 1,
                     (select entry from journal_entry
                      where account_id = $1 and recorded_at >= $3 and recorded_at < $4
                      order by entry desc limit 1) + 1
                 union all
                 select case when j.recorded_at < $2 then middle else low end,
                     case when j.recorded_at < $2 then high else middle end
                 from search, lateral (select (low + high) / 2 as middle) m
                 join journal_entry j on j.account_id = $1 and j.entry = middle
                     and j.recorded_at >= $3 and j.recorded_at < $4
                 where high - low > 1
             )
             -- None where no entry was found at the end or later.
             select nullif(min(high), max(high)) from search",
        )
        .bind(self.account_id)
        .bind(end)
        .bind(from)
        .bind(to)
        .fetch_one(tx)
        .await?;
        self.before = self.before.min(first.unwrap_or(self.before));
        Ok(())
    }

    async fn at_entries(&self, tx: &mut PgConnection, limit: i64) -> Result<Vec<PgRow>> {
        Ok(look!(self, self.since, tx, limit, "")?)
    }

    /// Only what was entered long after it happened. Where the look begins within a month is told in a
    /// way that is no key: else everything entered since in that month is read instead of what is late.
    async fn at_late_entries(&self, tx: &mut PgConnection, limit: i64) -> Result<Vec<PgRow>> {
        let (month, _) = month_of(self.since)?;
        Ok(look!(
            self,
            month,
            tx,
            limit,
            "and j.recorded_at - j.occurred_at > interval '1 hour'
             and j.recorded_at + interval '0' >= $10"
        )?)
    }
}

/// The month that a moment lies in, whose entries lie together.
fn month_of(moment: OffsetDateTime) -> Result<(OffsetDateTime, OffsetDateTime)> {
    let first = |day: OffsetDateTime| {
        day.replace_time(Time::MIDNIGHT)
            .replace_day(1)
            .map_err(|_| Error::corrupt("a month without a first day"))
    };
    let from = first(moment.to_offset(UtcOffset::UTC))?;
    Ok((from, first(from + Duration::days(31))?))
}

/// Where a page ends: the last entry, and when it was recorded (Unix seconds).
struct Cursor {
    entry: i64,
    recorded_at: OffsetDateTime,
}

impl FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (entry, seconds) = text.split_once('-').ok_or(())?;
        let seconds = seconds.parse().map_err(|_| ())?;
        Ok(Self {
            entry: entry.parse().map_err(|_| ())?,
            recorded_at: OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| ())?,
        })
    }
}

impl Ledger {
    /// Entries of one account, newest first. `from` and `to` bound when they happened.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `cursor`.
    pub async fn history(
        &self,
        user: &UserId,
        filter: &HistoryFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<HistoryItem>> {
        let cursor: Option<Cursor> = page::cursor(cursor)?;
        let (account_id, rows_max) = (chain::account_id(user), i64::from(limit) + 1);
        let model = filter
            .model_name
            .as_ref()
            .map(|model| serde_json::json!([{ "modelKey": model.key() }]));
        let mut tx = self.pool().begin_with(BEGIN).await?;
        let opened: Option<(OffsetDateTime, OffsetDateTime)> = sqlx::query_as(
            "select created_at, clock_timestamp() from account where account_id = $1",
        )
        .bind(account_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((opened_at, now)) = opened else {
            return page::build(&[], limit, |_| Err(Error::corrupt("a row of no account")));
        };
        let mut look = Look {
            account_id,
            filter,
            model: &model,
            before: cursor.as_ref().map_or(i64::MAX, |cursor| cursor.entry),
            since: opened_at,
            // A cursor is somebody's text.
            until: cursor.map_or(now, |cursor| cursor.recorded_at.clamp(opened_at, now))
                + CLOCK_STEP_MAX,
        };
        // When `before` was recorded, or later.
        let mut reached = look.until;
        let mut rows: Vec<PgRow> = Vec::new();
        if let Some(to) = filter.to.map(|to| to.moment().saturating_add(LATE))
            && to < look.until
        {
            // What was entered after that time happened before it only if it was entered late.
            look.since = to;
            rows = look.at_late_entries(&mut tx, rows_max).await?;
            if let Some(last) = rows.last() {
                look.before = last.try_get("entry")?;
            }
            look.until = to;
        }
        // Nothing happens after it is recorded.
        let from = filter
            .from
            .map_or(opened_at, |from| opened_at.max(from.moment()));
        let mut length = FIRST_LOOK;
        let missing = |rows: &[PgRow]| rows_max - i64::try_from(rows.len()).unwrap_or(rows_max);
        while missing(&rows) > 0 && look.until > from {
            if !look.skip_to_last_hour(&mut tx).await? {
                break;
            }
            if reached - look.until > SKIP_MIN {
                look.skip_to_end(&mut tx).await?;
                reached = look.until;
            }
            look.since = look.until.checked_sub(length).unwrap_or(from);
            let is_last = look.since <= from - CLOCK_STEP_MAX;
            for row in look.at_entries(&mut tx, missing(&rows)).await? {
                let recorded_at: OffsetDateTime = row.try_get("recorded_at")?;
                if !is_last && recorded_at < look.since + CLOCK_STEP_MAX {
                    break;
                }
                look.before = row.try_get("entry")?;
                reached = recorded_at;
                rows.push(row);
            }
            if is_last {
                break;
            }
            look.until = look.since + CLOCK_STEP_MAX * 2;
            length *= 4;
        }
        tx.rollback().await?;
        let prices = self.prices_of(&rows).await?;
        page::build(&rows, limit, |row| {
            let item = history_item(row, &prices)?;
            let seconds = item.recorded_at.moment().unix_timestamp();
            Ok((format!("{}-{seconds}", item.entry), item))
        })
    }

    /// Some entries of one account, such as those that others correct.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn entries(&self, user: &UserId, entries: &[i64]) -> Result<Vec<HistoryItem>> {
        let rows = sqlx::query(entries!("j.entry = any($2)"))
            .bind(chain::account_id(user))
            .bind(entries)
            .fetch_all(self.pool())
            .await?;
        let prices = self.prices_of(&rows).await?;
        rows.iter().map(|row| history_item(row, &prices)).collect()
    }

    /// The price versions that the rows' lines name.
    async fn prices_of(&self, rows: &[PgRow]) -> Result<HashMap<i64, PriceVersion>> {
        let mut ids = Vec::new();
        for row in rows {
            if let Some(Json(lines)) = row.try_get::<Option<Json<Vec<Line>>>, _>("lines")? {
                ids.extend(lines.iter().map(|line| line.price_version_id));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        sqlx::query("select * from price_version where price_version_id = any($1)")
            .bind(ids)
            .fetch_all(self.pool())
            .await?
            .iter()
            .map(|row| prices::version(row).map(|version| (version.id, version)))
            .collect()
    }
}

fn history_item(row: &PgRow, prices: &HashMap<i64, PriceVersion>) -> Result<HistoryItem> {
    let points = Points::from_nano(row.try_get("amount_nano")?);
    let balance_after = Points::from_nano(row.try_get("balance_after_nano")?);
    let consumption = row
        .try_get::<Option<Uuid>, _>("consumption_id")?
        .map(|consumption_id| consumption_detail(row, consumption_id, prices))
        .transpose()?;
    Ok(HistoryItem {
        entry: row.try_get("entry")?,
        kind: entry_kind(row.try_get("kind")?)?,
        points,
        points_nano: points.into(),
        balance_after,
        balance_after_nano: balance_after.into(),
        occurred_at: row.try_get::<OffsetDateTime, _>("occurred_at")?.into(),
        recorded_at: row.try_get::<OffsetDateTime, _>("recorded_at")?.into(),
        reason: row.try_get("reason")?,
        corrects_entry: row.try_get("corrects_entry")?,
        consumption,
    })
}

fn consumption_detail(
    row: &PgRow,
    consumption_id: Uuid,
    prices: &HashMap<i64, PriceVersion>,
) -> Result<ConsumptionDetail> {
    let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
    Ok(ConsumptionDetail {
        consumption_id: public_id(consumption_id),
        message_id: row.try_get("message_id")?,
        conversation_id: row.try_get("conversation_id")?,
        tokens_used: u64::try_from(row.try_get::<i64, _>("total_tokens")?)
            .map_err(|_| Error::corrupt("a negative token count"))?,
        lines: lines
            .into_iter()
            .map(|line| {
                let version = prices
                    .get(&line.price_version_id)
                    .ok_or_else(|| Error::corrupt("a charge without its price version"))?;
                Ok(ConsumptionLine {
                    model_name: line.model_name,
                    tokens: line.tokens,
                    price_version_id: version.id,
                    price_version: version.version,
                    rates: version.rates,
                    points: Points::from_nano(line.charge_nano),
                })
            })
            .collect::<Result<Vec<_>>>()?,
    })
}
