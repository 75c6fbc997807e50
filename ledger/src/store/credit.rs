//! Points by where they came from.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;

/// Accounts of which a credit is past its time.
pub(crate) async fn due_accounts(
    executor: impl PgExecutor<'_>,
    accounts_max: i64,
) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select distinct account_id from credit
         where not is_spent and expires_at <= now() limit $1",
        accounts_max
    )
    .fetch_all(executor)
    .await?)
}

/// What is left of some points.
#[derive(sqlx::FromRow)]
pub(crate) struct CreditLeftRow {
    pub entry: i64,
    pub amount_nano: i64,
    pub remaining_nano: i64,
    pub is_bought: bool,
    pub expires_at: Option<OffsetDateTime>,
}

/// What is left of an account's points, in the order in which they are used.
pub(crate) async fn left(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
) -> Result<Vec<CreditLeftRow>> {
    Ok(sqlx::query_as(
        "select entry, amount_nano, remaining_nano, is_bought, expires_at from credit
         where account_id = $1 and remaining_nano > 0
         order by expires_at nulls last, is_bought, entry",
    )
    .bind(account_id)
    .fetch_all(executor)
    .await?)
}
