//! Entries of one account, from the newest back.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::entry::EntryLine;

/// How a transaction begins that reads entries back in time: each look is planned for its months, and
/// goes through the keys, from the newest entry back, until the page is full.
pub(crate) const BEGIN_READING: &str =
    "begin read only; set local plan_cache_mode = force_custom_plan;
    set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
    set local enable_bitmapscan = off; set local enable_sort = off; set local jit = off";

/// An entry with all that its user sees of it.
#[derive(sqlx::FromRow)]
pub(crate) struct HistoryRow {
    pub entry: i64,
    pub kind: String,
    pub amount_nano: i64,
    pub balance_after_nano: i64,
    pub occurred_at: OffsetDateTime,
    pub recorded_at: OffsetDateTime,
    pub reason: Option<String>,
    pub corrects_entry: Option<i64>,
    pub message: Option<Uuid>,
    pub message_id: Option<String>,
    pub conversation_id: Option<String>,
    pub lines: Option<Json<Vec<EntryLine>>>,
}

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

/// A look at entries that were recorded within a time, from the newest back.
pub(crate) struct Look<'a> {
    pub account_id: Uuid,
    pub kind: Option<&'static str>,
    /// When they happened: from, and before.
    pub happened: (Option<OffsetDateTime>, Option<OffsetDateTime>),
    /// What lines of a model contain, by each of its price versions.
    pub lines: Option<&'a [serde_json::Value]>,
    /// Only entries with lower numbers.
    pub before: i64,
    pub since: OffsetDateTime,
    pub until: OffsetDateTime,
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
        .bind($look.kind)
        .bind($look.happened.0)
        .bind($look.happened.1)
        .bind($look.lines)
        .bind($limit)
        .bind($since)
        .bind($look.until)
        .bind($look.since)
        .fetch_all($tx)
        .await
    };
}

impl Look<'_> {
    /// All of them.
    pub(crate) async fn rows(&self, tx: &mut PgConnection, limit: i64) -> Result<Vec<HistoryRow>> {
        Ok(look!(self, self.since, tx, limit, "")?)
    }

    /// Only what was entered more than an hour after it happened. The month that the look begins in
    /// bounds what is read; where it begins within that month is told in a way that is no key: else
    /// everything entered since in that month is read instead of what is late.
    pub(crate) async fn late_rows(
        &self,
        tx: &mut PgConnection,
        month: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<HistoryRow>> {
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

/// The first entry of a month that was recorded at a time or later, by halving the month's entries:
/// they are numbered without a gap, and what was entered since is not read. `None` where there is none.
pub(crate) async fn first_since(
    tx: &mut PgConnection,
    account_id: Uuid,
    time: OffsetDateTime,
    (from, to): (OffsetDateTime, OffsetDateTime),
) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar(
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
         select nullif(min(high), max(high)) from search",
    )
    .bind(account_id)
    .bind(time)
    .bind(from)
    .bind(to)
    .fetch_one(tx)
    .await?)
}

/// Some entries, in any order.
pub(crate) async fn of_numbers(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    entries: &[i64],
) -> Result<Vec<HistoryRow>> {
    Ok(sqlx::query_as(entries!("j.entry = any($2)"))
        .bind(account_id)
        .bind(entries)
        .fetch_all(executor)
        .await?)
}
