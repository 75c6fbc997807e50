//! Requests that were done under a key, and their answers.

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::error::Result;
use crate::records::digest::Digest;
use crate::records::idempotency_key::IdempotencyKey;

#[derive(sqlx::FromRow)]
pub(crate) struct AnswerRow {
    pub fingerprint: Digest,
    /// None only in the transaction that does what was asked for.
    pub answer: Option<Json<Box<RawValue>>>,
}

/// False when another transaction has taken the key. Waits for one that is about to.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    key: &IdempotencyKey,
    fingerprint: &Digest,
) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into idempotency (caller, idempotency_key, fingerprint) values ($1, $2, $3)
         on conflict do nothing",
        key.caller,
        key.key,
        fingerprint.as_slice()
    )
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn find(
    executor: impl PgExecutor<'_>,
    key: &IdempotencyKey,
) -> Result<Option<AnswerRow>> {
    Ok(sqlx::query_as(
        "select fingerprint, answer from idempotency where caller = $1 and idempotency_key = $2",
    )
    .bind(&key.caller)
    .bind(&key.key)
    .fetch_optional(executor)
    .await?)
}

pub(crate) async fn keep_answer(
    executor: impl PgExecutor<'_>,
    key: &IdempotencyKey,
    answer: &(impl Serialize + Sync),
) -> Result<()> {
    sqlx::query!(
        "update idempotency set answer = $3 where caller = $1 and idempotency_key = $2",
        key.caller,
        key.key,
        Json(answer) as _
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub(crate) async fn delete(executor: impl PgExecutor<'_>, key: &IdempotencyKey) -> Result<()> {
    sqlx::query!(
        "delete from idempotency where caller = $1 and idempotency_key = $2",
        key.caller,
        key.key
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Removes keys under which nobody repeats a request any longer.
pub(crate) async fn delete_old(executor: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!("delete from idempotency where created_at < now() - interval '30 days'")
        .execute(executor)
        .await?;
    Ok(())
}
