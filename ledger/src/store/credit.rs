//! Points by where they came from.

use sqlx::PgExecutor;
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
