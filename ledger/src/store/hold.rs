//! Points promised to calls.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::rows::HoldSettlement;
use crate::error::Result;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct HoldRow {
    pub hold_id: Uuid,
    pub amount_nano: i64,
    pub model_name: Option<String>,
    pub status: String,
    pub created_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
    /// The message that settled it.
    pub message: Option<Uuid>,
}

/// Reads holds by account and id.
pub(crate) async fn find(
    connection: &mut PgConnection,
    holds: &[(Uuid, Uuid)],
) -> Result<Vec<HoldRow>> {
    if holds.is_empty() {
        return Ok(Vec::new());
    }
    let (accounts, ids): (Vec<_>, Vec<_>) = holds.iter().copied().unzip();
    Ok(sqlx::query_as!(
        HoldRow,
        "select h.hold_id, h.amount_nano, h.model_name, h.status, h.created_at, h.expires_at,
                h.message
         from unnest($1::uuid[], $2::uuid[]) as k (account_id, hold_id)
         join hold h on h.account_id = k.account_id and h.hold_id = k.hold_id",
        &accounts,
        &ids
    )
    .fetch_all(connection)
    .await?)
}

/// Marks holds as settled, whatever became of them before; the caller frees the points of open ones.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    now: OffsetDateTime,
    settled: &[HoldSettlement],
) -> Result<()> {
    if settled.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update hold h set status = 'settled', closed_at = coalesce(h.closed_at, $2), message = t.message
         from unnest($1::hold_settlement[]) as t
         where h.account_id = t.account_id and h.hold_id = t.hold_id",
    )
    .bind(settled)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// A hold to be made: the account's points are promised by the caller, or by the statement itself.
pub(crate) struct NewHoldRow<'a> {
    pub account_id: Uuid,
    pub hold_id: Uuid,
    pub amount_nano: i64,
    pub model_name: Option<&'a str>,
    pub seconds: u32,
}

/// Makes a hold on a locked account.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    new: &NewHoldRow<'_>,
    now: OffsetDateTime,
) -> Result<HoldRow> {
    Ok(sqlx::query_as(
        "insert into hold (account_id, hold_id, amount_nano, model_name, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $5 + make_interval(secs => $6)) returning *",
    )
    .bind(new.account_id)
    .bind(new.hold_id)
    .bind(new.amount_nano)
    .bind(new.model_name)
    .bind(now)
    .bind(f64::from(new.seconds))
    .fetch_one(tx)
    .await?)
}

/// The whole hold in one statement, where the account is open, its points suffice, and nothing has to
/// be entered first. Otherwise nothing has happened. Only what is told to somebody waits for the disk.
pub(crate) async fn insert_at_once(
    executor: impl PgExecutor<'_>,
    new: &NewHoldRow<'_>,
    is_durable: bool,
) -> Result<Option<HoldRow>> {
    // An update that waits for a lock looks at the row again once it has it.
    Ok(sqlx::query_as(
        "with promised as (
             update account set held_nano = held_nano + $2, updated_at = clock_timestamp()
             where account_id = $1
                 and balance_nano::numeric - held_nano + debt_limit_nano >= $2
                 and held_nano <= 9223372036854775807 - $2
                 and not exists (select from credit c where c.account_id = $1
                     and c.remaining_nano > 0 and c.expires_at <= clock_timestamp())
             returning updated_at
         )
         insert into hold (account_id, hold_id, amount_nano, model_name, created_at, expires_at)
         select $1, $3, $2, $4, updated_at, updated_at + make_interval(secs => $5)
         from promised
         returning *, set_config('synchronous_commit',
             case when $6 then current_setting('synchronous_commit') else 'off' end, true)",
    )
    .bind(new.account_id)
    .bind(new.amount_nano)
    .bind(new.hold_id)
    .bind(new.model_name)
    .bind(f64::from(new.seconds))
    .bind(is_durable)
    .fetch_optional(executor)
    .await?)
}

pub(crate) async fn one(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    hold_id: Uuid,
) -> Result<Option<HoldRow>> {
    Ok(
        sqlx::query_as("select * from hold where account_id = $1 and hold_id = $2")
            .bind(account_id)
            .bind(hold_id)
            .fetch_optional(executor)
            .await?,
    )
}

/// The open holds of an account, the first to run out first.
pub(crate) async fn open(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    rows_max: i64,
) -> Result<Vec<HoldRow>> {
    Ok(sqlx::query_as(
        "select * from hold where account_id = $1 and status = 'open' order by expires_at limit $2",
    )
    .bind(account_id)
    .bind(rows_max)
    .fetch_all(executor)
    .await?)
}

/// Marks an open hold as released; the caller frees its points.
pub(crate) async fn release(
    tx: &mut PgConnection,
    account_id: Uuid,
    hold_id: Uuid,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query!(
        "update hold set status = 'released', closed_at = $3
         where account_id = $1 and hold_id = $2 and status = 'open'",
        account_id,
        hold_id,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Accounts of which open holds are past their time.
pub(crate) async fn due_accounts(
    executor: impl PgExecutor<'_>,
    accounts_max: i64,
) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select distinct account_id from hold
         where status = 'open' and expires_at <= now() limit $1",
        accounts_max
    )
    .fetch_all(executor)
    .await?)
}

/// Marks what is past its time on locked accounts, and says whose points come free.
pub(crate) async fn expire(
    tx: &mut PgConnection,
    accounts: &[Uuid],
    now: OffsetDateTime,
) -> Result<Vec<(Uuid, i64)>> {
    Ok(sqlx::query_as(
        "update hold set status = 'expired', closed_at = $2
         where account_id = any($1) and status = 'open' and expires_at <= $2
         returning account_id, amount_nano",
    )
    .bind(accounts)
    .bind(now)
    .fetch_all(tx)
    .await?)
}
