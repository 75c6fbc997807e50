//! Accounts with their checkpoints, credits and holds.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::checkpoint::CreditLeft;

/// An account, and how far it was verified.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct StoredAccount {
    pub account_id: Uuid,
    pub user_id: String,
    pub balance_nano: i64,
    pub held_nano: i64,
    pub entry_count: i64,
    pub last_hash: Vec<u8>,
    #[sqlx(flatten)]
    pub checkpoint: MaybeCheckpointRow,
}

/// The columns of a checkpoint, all null where there is none.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct MaybeCheckpointRow {
    pub checkpoint_entry: Option<i64>,
    pub checkpoint_hash: Option<Vec<u8>>,
    pub checkpoint_balance_nano: Option<i64>,
    pub checkpoint_credits: Option<serde_json::Value>,
    pub checkpoint_seal: Option<Vec<u8>>,
}

/// Accounts by id, from one on, up to another one.
pub(crate) async fn accounts(
    connection: &mut PgConnection,
    (first, last): (Uuid, Uuid),
    rows_max: i64,
) -> Result<Vec<StoredAccount>> {
    Ok(sqlx::query_as(
        "select a.account_id, a.user_id, a.balance_nano, a.held_nano, a.entry_count, a.last_hash,
                k.entry as checkpoint_entry, k.hash as checkpoint_hash,
                k.balance_nano as checkpoint_balance_nano, k.credits as checkpoint_credits,
                k.seal as checkpoint_seal
         from account a left join account_checkpoint k on k.account_id = a.account_id
         where a.account_id >= $1 and a.account_id <= $2 order by a.account_id limit $3",
    )
    .bind(first)
    .bind(last)
    .bind(rows_max)
    .fetch_all(connection)
    .await?)
}

/// What accounts hold for open calls, those that hold something.
pub(crate) async fn open_holds(
    connection: &mut PgConnection,
    (first, last): (Uuid, Uuid),
) -> Result<Vec<(Uuid, i64)>> {
    Ok(sqlx::query_as(
        "select account_id, sum(amount_nano)::bigint from hold
         where status = 'open' and account_id >= $1 and account_id <= $2 group by account_id",
    )
    .bind(first)
    .bind(last)
    .fetch_all(connection)
    .await?)
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct CreditRow {
    pub account_id: Uuid,
    pub entry: i64,
    pub amount_nano: i64,
    pub remaining_nano: i64,
    pub is_bought: bool,
    pub expires_at: Option<OffsetDateTime>,
}

/// Credits of accounts: those that have something left, and of the next so many entries after the given
/// one of each all.
pub(crate) async fn credits(
    connection: &mut PgConnection,
    accounts: &[Uuid],
    after: &[i64],
    entries_max: i64,
) -> Result<Vec<CreditRow>> {
    Ok(sqlx::query_as(
        "select c.account_id, c.entry, c.amount_nano, c.remaining_nano, c.is_bought, c.expires_at
         from unnest($1::uuid[], $2::bigint[]) as k (account_id, entry)
         join credit c on c.account_id = k.account_id
             and (not c.is_spent or c.entry > k.entry and c.entry <= k.entry + $3)",
    )
    .bind(accounts)
    .bind(after)
    .bind(entries_max)
    .fetch_all(connection)
    .await?)
}

/// A checkpoint as it is written.
#[derive(sqlx::Type)]
#[sqlx(type_name = "new_checkpoint")]
pub(crate) struct NewCheckpoint {
    pub account_id: Uuid,
    pub entry: i64,
    pub hash: Vec<u8>,
    pub balance_nano: i64,
    pub credits: Json<Vec<CreditLeft>>,
    pub seal: Vec<u8>,
}

/// Keeps how far accounts were verified; never goes back.
pub(crate) async fn keep(
    executor: impl PgExecutor<'_>,
    checkpoints: &[NewCheckpoint],
) -> Result<()> {
    if checkpoints.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into account_checkpoint (account_id, entry, hash, balance_nano, credits, seal, checked_at)
         select account_id, entry, hash, balance_nano, credits, seal, now()
         from unnest($1::new_checkpoint[])
         on conflict (account_id) do update set entry = excluded.entry, hash = excluded.hash,
             balance_nano = excluded.balance_nano, credits = excluded.credits, seal = excluded.seal,
             checked_at = excluded.checked_at
         where account_checkpoint.entry < excluded.entry",
    )
    .bind(checkpoints)
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets how far broken accounts were verified, so that what is wrong with them is found again.
pub(crate) async fn forget(executor: impl PgExecutor<'_>, accounts: &[Uuid]) -> Result<()> {
    if !accounts.is_empty() {
        sqlx::query("delete from account_checkpoint where account_id = any($1)")
            .bind(accounts)
            .execute(executor)
            .await?;
    }
    Ok(())
}

/// The users of accounts.
pub(crate) async fn users(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, String)>> {
    Ok(
        sqlx::query_as("select account_id, user_id from account where account_id = any($1)")
            .bind(ids)
            .fetch_all(executor)
            .await?,
    )
}
