//! A user's journal, page by page.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use shared::api::{
    ConsumptionDetail, ConsumptionLine, EntryKind, HistoryFilter, HistoryItem, Page,
};
use shared::clock::Timestamp;
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use shared::price::PriceVersion;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::{Duration, OffsetDateTime, Time, UtcOffset};
use uuid::Uuid;

use crate::error::{Attempt, Error, Result};
use crate::operations::ledger::Ledger;
use crate::records::entry::{EntryLine, total_tokens};
use crate::records::hash::{MessageId, account_id};
use crate::records::page::{self, UnknownCursor};
use crate::store::price_version;

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

/// The rows of entries that a condition on `j` picks.
macro_rules! entries {
    ($condition:expr) => {
        concat!(
            "select j.entry, j.kind, j.amount_nano, j.balance_after_nano, j.occurred_at, j.recorded_at,
                    j.reason, j.corrects_entry, j.message, j.message_id, j.conversation_id, j.lines
             from journal_entry j where j.account_id = $1 and ",
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
    /// The lines of a model, by each of its price versions.
    model: &'a Option<Vec<serde_json::Value>>,
    before: i64,
    since: OffsetDateTime,
    until: OffsetDateTime,
}

/// The rows of a look, of which `$kind` picks some.
macro_rules! look {
    ($look:expr, $since:expr, $tx:expr, $limit:expr, $kind:literal) => {
        sqlx::query_as::<_, HistoryRow>(entries!(concat!(
            "j.recorded_at >= $8 and j.recorded_at < $9 and j.entry < $2
                     and ($3::text is null or j.kind = $3)
                     and ($4::timestamptz is null or j.occurred_at >= $4)
                     and ($5::timestamptz is null or j.occurred_at < $5)
                     and ($6::jsonb[] is null or j.lines @> any($6)) ",
            $kind,
            " order by j.entry desc limit $7"
        )))
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

    /// Goes back look by look until there are enough rows, or nothing is left since the account was
    /// opened.
    async fn back_to(
        mut self,
        opened_at: OffsetDateTime,
        tx: &mut PgConnection,
        rows_max: i64,
    ) -> Result<Vec<HistoryRow>> {
        // When `before` was recorded, or later.
        let mut reached = self.until;
        let mut rows = self.late_rows(tx, rows_max).await?;
        // Nothing happens after it is recorded.
        let from = self.filter.from.map(Timestamp::moment);
        let from = from.map_or(opened_at, |from| opened_at.max(from));
        let mut length = FIRST_LOOK;
        let missing =
            |rows: &[HistoryRow]| rows_max - i64::try_from(rows.len()).unwrap_or(rows_max);
        while missing(&rows) > 0 && self.until > from {
            if reached - self.until > SKIP_MIN {
                self.skip_to_end(tx).await?;
                reached = self.until;
            }
            self.since = self.until.checked_sub(length).unwrap_or(from);
            let is_last = self.since <= from - CLOCK_STEP_MAX;
            for row in self.at_entries(tx, missing(&rows)).await? {
                let recorded_at = row.recorded_at;
                if !is_last && recorded_at < self.since + CLOCK_STEP_MAX {
                    break;
                }
                self.before = row.entry;
                reached = recorded_at;
                rows.push(row);
            }
            if is_last {
                break;
            }
            self.until = self.since + CLOCK_STEP_MAX * 2;
            length *= 4;
        }
        Ok(rows)
    }

    /// Where only what happened before a time is asked for: what was entered long after that time
    /// happened before it only if it was entered late.
    async fn late_rows(&mut self, tx: &mut PgConnection, rows_max: i64) -> Result<Vec<HistoryRow>> {
        let to = self.filter.to.map(|to| to.moment().saturating_add(LATE));
        let Some(to) = to.filter(|to| *to < self.until) else {
            return Ok(Vec::new());
        };
        self.since = to;
        let rows = self.at_late_entries(tx, rows_max).await?;
        if let Some(last) = rows.last() {
            self.before = last.entry;
        }
        self.until = to;
        Ok(rows)
    }

    async fn at_entries(&self, tx: &mut PgConnection, limit: i64) -> Result<Vec<HistoryRow>> {
        Ok(look!(self, self.since, tx, limit, "")?)
    }

    /// Only what was entered long after it happened. Where the look begins within a month is told in a
    /// way that is no key: else everything entered since in that month is read instead of what is late.
    async fn at_late_entries(&self, tx: &mut PgConnection, limit: i64) -> Result<Vec<HistoryRow>> {
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
    /// [`UnknownCursor`].
    pub async fn history(
        &self,
        user: &UserId,
        filter: &HistoryFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Attempt<Page<HistoryItem>, UnknownCursor> {
        let cursor: Option<Cursor> = page::cursor(cursor)?;
        let (account_id, rows_max) = (account_id(user), i64::from(limit) + 1);
        let model = match &filter.model_name {
            Some(model) => Some(self.lines_of(model).await?),
            None => None,
        };
        let mut tx = self.pool().begin_with(BEGIN).await?;
        let opened: Option<(OffsetDateTime, OffsetDateTime)> = sqlx::query_as(
            "select created_at, clock_timestamp() from account where account_id = $1",
        )
        .bind(account_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((opened_at, now)) = opened else {
            return Ok(Page {
                items: Vec::new(),
                next_cursor: None,
            });
        };
        let look = Look {
            account_id,
            filter,
            model: &model,
            before: cursor.as_ref().map_or(i64::MAX, |cursor| cursor.entry),
            since: opened_at,
            // A cursor is somebody's text.
            until: cursor.map_or(now, |cursor| cursor.recorded_at.clamp(opened_at, now))
                + CLOCK_STEP_MAX,
        };
        let rows = look.back_to(opened_at, &mut tx, rows_max).await?;
        tx.rollback().await?;
        let prices = self.prices_of(&rows).await?;
        Ok(page::build(rows, limit, |row| {
            let item = row.item(&prices)?;
            let seconds = item.recorded_at.moment().unix_timestamp();
            Ok((format!("{}-{seconds}", item.entry), item))
        })?)
    }

    /// Some entries of one account, such as those that others correct.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn entries(&self, user: &UserId, entries: &[i64]) -> Result<Vec<HistoryItem>> {
        let rows: Vec<HistoryRow> = sqlx::query_as(entries!("j.entry = any($2)"))
            .bind(account_id(user))
            .bind(entries)
            .fetch_all(self.pool())
            .await?;
        let prices = self.prices_of(&rows).await?;
        rows.into_iter().map(|row| row.item(&prices)).collect()
    }

    /// What lines of a model are told by: each of its price versions.
    async fn lines_of(&self, model: &ModelName) -> Result<Vec<serde_json::Value>> {
        let versions = price_version::of_model(self.pool(), model).await?;
        let line = |version: PriceVersion| serde_json::json!([{ "version": version.id }]);
        Ok(versions.into_iter().map(line).collect())
    }

    /// The price versions that the rows' lines name.
    async fn prices_of(&self, rows: &[HistoryRow]) -> Result<HashMap<i64, PriceVersion>> {
        let lines = rows.iter().flat_map(HistoryRow::lines);
        let ids: BTreeSet<i64> = lines.map(|line| line.price_version_id).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        let versions = price_version::of_ids(self.pool(), &ids).await?;
        let versions = versions.into_iter();
        Ok(versions.map(|version| (version.id, version)).collect())
    }
}

/// An entry as its user sees it.
#[derive(sqlx::FromRow)]
struct HistoryRow {
    entry: i64,
    kind: String,
    amount_nano: i64,
    balance_after_nano: i64,
    occurred_at: OffsetDateTime,
    recorded_at: OffsetDateTime,
    reason: Option<String>,
    corrects_entry: Option<i64>,
    message: Option<Uuid>,
    message_id: Option<String>,
    conversation_id: Option<String>,
    lines: Option<Json<Vec<EntryLine>>>,
}

impl HistoryRow {
    fn lines(&self) -> &[EntryLine] {
        self.lines.as_ref().map_or(&[], |lines| &lines.0)
    }

    fn item(self, prices: &HashMap<i64, PriceVersion>) -> Result<HistoryItem> {
        let points = Points::from_nano(self.amount_nano);
        let balance_after = Points::from_nano(self.balance_after_nano);
        Ok(HistoryItem {
            entry: self.entry,
            kind: entry_kind(&self.kind)?,
            points,
            points_nano: points.into(),
            balance_after,
            balance_after_nano: balance_after.into(),
            occurred_at: self.occurred_at.into(),
            recorded_at: self.recorded_at.into(),
            consumption: self.consumption(prices)?,
            reason: self.reason,
            corrects_entry: self.corrects_entry,
        })
    }

    /// How a report's entry came about: the message's lines after it. Refunds and re-ratings name the
    /// charge that they correct.
    fn consumption(
        &self,
        prices: &HashMap<i64, PriceVersion>,
    ) -> Result<Option<ConsumptionDetail>> {
        let (Some(message), Some(message_id)) = (self.message, &self.message_id) else {
            return Ok(None);
        };
        let lines = self
            .lines()
            .iter()
            .map(|line| consumption_line(line, prices));
        Ok(Some(ConsumptionDetail {
            consumption_id: MessageId(message).public(),
            message_id: message_id.clone(),
            conversation_id: self.conversation_id.clone(),
            tokens_used: total_tokens(self.lines()),
            lines: lines.collect::<Result<_>>()?,
        }))
    }
}

fn consumption_line(
    line: &EntryLine,
    prices: &HashMap<i64, PriceVersion>,
) -> Result<ConsumptionLine> {
    let version = prices
        .get(&line.price_version_id)
        .ok_or_else(|| Error::corrupt("a charge without its price version"))?;
    Ok(ConsumptionLine {
        model_name: line.model_name.clone(),
        tokens: line.tokens,
        price_version_id: version.id,
        price_version: version.version,
        rates: version.rates,
        points: Points::from_nano(line.cost_nano),
    })
}
