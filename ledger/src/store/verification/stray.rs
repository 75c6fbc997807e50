//! Rows of accounts that are not there.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;

#[derive(Debug, sqlx::FromRow)]
pub(crate) struct StrayRow {
    pub account_id: Uuid,
    pub what: String,
}

/// Entries once for each account, credits, holds and checkpoints each.
pub(crate) async fn without_account(connection: &mut PgConnection) -> Result<Vec<StrayRow>> {
    Ok(sqlx::query_as(
        "select distinct account_id, 'entries without an account' as what from journal_entry j
         where not exists (select from account a where a.account_id = j.account_id)
         union all
         select account_id, 'a credit without an account' from credit c
         where not exists (select from account a where a.account_id = c.account_id)
         union all
         select account_id, 'a hold without an account' from hold h
         where not exists (select from account a where a.account_id = h.account_id)
         union all
         select account_id, 'a checkpoint without an account' from account_checkpoint k
         where not exists (select from account a where a.account_id = k.account_id)",
    )
    .fetch_all(connection)
    .await?)
}
