//! Reports of messages beside what was charged for them.

use shared::usage::Usage;
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::entry::EntryLine;

/// A report: of the first charge as the lines of its entry, else as it was.
#[derive(sqlx::FromRow)]
pub(crate) struct ReportRow {
    pub message: Uuid,
    pub number: i32,
    pub message_id: Option<String>,
    pub recorded_at: OffsetDateTime,
    pub source: String,
    pub entrance: String,
    pub user_id: String,
    pub usage: Option<Json<Usage>>,
    /// Of the entry that it made.
    pub entry: Option<i64>,
    pub lines: Option<Json<Vec<EntryLine>>>,
}

pub(crate) async fn namespaces(executor: impl PgExecutor<'_>) -> Result<Vec<i64>> {
    Ok(
        sqlx::query_scalar!("select namespace_id from namespace order by namespace_id")
            .fetch_all(executor)
            .await?,
    )
}

/// The reports of a message in effect, in order.
pub(crate) async fn of_message(
    executor: impl PgExecutor<'_>,
    message: Uuid,
) -> Result<Vec<ReportRow>> {
    Ok(sqlx::query_as(
        "with first as (
             select j.* from claim c join journal_entry j on j.account_id = c.account_id and j.entry = c.entry
             where c.id = $1
         ), report as (
             select 0 as number, f.message, f.recorded_at, f.api_key_id, f.entrance, f.account_id,
                    null::jsonb as usage, f.entry, f.lines, f.message_id
             from first f where not exists (select from message_event where message = $1 and entry = f.entry)
             union all
             select e.number, e.message, e.recorded_at, e.api_key_id, e.entrance, e.account_id, e.usage, e.entry,
                    null, j.message_id
             from message_event e
             left join journal_entry j on j.account_id = e.account_id and j.entry = e.entry
             where e.message = $1 and e.kind = 'report'
         )
         select r.message, r.number, first_value(r.message_id) over (order by r.number) as message_id, r.recorded_at,
                k.name as source, r.entrance, a.user_id, r.usage, r.entry, r.lines
         from report r join api_key k using (api_key_id) join account a using (account_id)
         order by r.number",
    )
    .bind(message)
    .fetch_all(executor)
    .await?)
}

/// Where a report stands among all of them: when it was recorded (many are at once), its message and
/// its number there.
pub(crate) type ReportKey = (OffsetDateTime, Uuid, i32);

/// Reports after the first of their messages that made no entry, newest first, before another one.
pub(crate) async fn later(
    executor: impl PgExecutor<'_>,
    before: Option<ReportKey>,
    rows_max: i64,
) -> Result<Vec<ReportRow>> {
    Ok(sqlx::query_as(
        "select e.message, e.number, j.message_id, e.recorded_at, k.name as source, e.entrance, a.user_id, e.usage,
                e.entry, null::jsonb as lines
         from message_event e
         join api_key k using (api_key_id)
         join account a using (account_id)
         left join claim c on c.id = e.message
         left join journal_entry j on j.account_id = c.account_id and j.entry = c.entry
         where e.kind = 'report' and e.entry is null
             and (e.recorded_at, e.message, e.number)
                 < (coalesce($1, 'infinity'::timestamptz), coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid), coalesce($3, 2147483647))
         order by e.recorded_at desc, e.message desc, e.number desc limit $4",
    )
    .bind(before.map(|key| key.0))
    .bind(before.map(|key| key.1))
    .bind(before.map(|key| key.2))
    .bind(rows_max)
    .fetch_all(executor)
    .await?)
}
