//! Checks of how complete a source's reports are, and what they found for each day.

use shared::api::CompletenessDay;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::completeness::CompletenessShare;
use crate::store::missing_message::is_missing;

/// Days that are counted together.
const DAYS_MAX: i64 = 90;

/// The last check of a source.
pub(crate) struct CheckRow {
    pub begun_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    pub error: Option<String>,
}

struct DayRow {
    day: String,
    served: i64,
    arrived: i64,
}

impl TryFrom<DayRow> for CompletenessDay {
    type Error = Error;

    fn try_from(row: DayRow) -> Result<Self> {
        Ok(Self {
            day: row.day,
            served: count(row.served)?,
            arrived: count(row.arrived)?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct ShareRow {
    api_key_id: Uuid,
    served: i64,
    arrived: i64,
    missing: i64,
    has_failed: bool,
}

impl ShareRow {
    fn into_share(self) -> Result<(Uuid, CompletenessShare)> {
        let share = CompletenessShare {
            served: count(self.served)?,
            arrived: count(self.arrived)?,
            missing: count(self.missing)?,
            has_failed: self.has_failed,
        };
        Ok((self.api_key_id, share))
    }
}

fn count(count: i64) -> Result<u64> {
    u64::try_from(count).map_err(|_| Error::corrupt("a negative count"))
}

/// Begins a check, unless one was begun less than so many seconds ago; whether it did.
pub(crate) async fn begin(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    seconds: u32,
) -> Result<bool> {
    let begun = sqlx::query!(
        "insert into completeness_check as known (api_key_id, begun_at) values ($1, now())
         on conflict (api_key_id) do update set begun_at = now()
             where known.begun_at <= now() - make_interval(secs => $2)",
        source,
        f64::from(seconds)
    )
    .execute(executor)
    .await?;
    Ok(begun.rows_affected() == 1)
}

pub(crate) async fn fail(executor: impl PgExecutor<'_>, source: Uuid, why: &str) -> Result<()> {
    sqlx::query!(
        "update completeness_check set error = $2 where api_key_id = $1",
        source,
        why
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub(crate) async fn end(executor: impl PgExecutor<'_>, source: Uuid) -> Result<()> {
    sqlx::query!(
        "insert into completeness_check (api_key_id, begun_at, ended_at) values ($1, now(), now())
         on conflict (api_key_id) do update set ended_at = now(), error = null",
        source
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub(crate) async fn check(executor: impl PgExecutor<'_>, source: Uuid) -> Result<Option<CheckRow>> {
    Ok(sqlx::query_as!(
        CheckRow,
        "select begun_at, ended_at, error from completeness_check where api_key_id = $1",
        source
    )
    .fetch_optional(executor)
    .await?)
}

/// The last days, newest first.
pub(crate) async fn days(
    executor: impl PgExecutor<'_>,
    source: Uuid,
) -> Result<Vec<CompletenessDay>> {
    let rows: Vec<DayRow> = sqlx::query_as!(
        DayRow,
        r#"select to_char(day, 'YYYY-MM-DD') as "day!", served, arrived from completeness_day
         where api_key_id = $1 order by completeness_day.day desc limit $2"#,
        source,
        DAYS_MAX
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(CompletenessDay::try_from).collect()
}

/// Every source that was ever checked.
pub(crate) async fn shares<All: FromIterator<(Uuid, CompletenessShare)>>(
    executor: impl PgExecutor<'_>,
) -> Result<All> {
    let rows: Vec<ShareRow> = sqlx::query_as(concat!(
        "select c.api_key_id, c.error is not null as has_failed,
             coalesce(told.served, 0)::bigint as served,
             coalesce(told.arrived, 0)::bigint as arrived,
             (select count(*) from missing_message s
              where s.api_key_id = c.api_key_id and ",
        is_missing!(),
        ") as missing
         from completeness_check c
         cross join lateral (
             select sum(served) as served, sum(arrived) as arrived
             from (select served, arrived from completeness_day
                   where api_key_id = c.api_key_id order by day desc limit $1) days
         ) told",
    ))
    .bind(DAYS_MAX)
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(ShareRow::into_share).collect()
}
