//! Reports that wait, and bodies that could not be read.

use shared::usage::MessageUsage;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};

/// A report that is to wait.
pub(crate) struct NewWaiting<'a> {
    pub quarantine_id: Uuid,
    pub namespace_id: i64,
    pub api_key_id: Uuid,
    pub entrance: &'static str,
    pub received_at: OffsetDateTime,
    pub reason: &'static str,
    pub message: Uuid,
    pub number: i32,
    pub model_keys: Vec<String>,
    pub hold_id: Option<Uuid>,
    pub report: &'a MessageUsage,
    pub continues: bool,
    pub body: &'a [u8],
}

/// Keeps a report until a price or an administrator resolves it.
pub(crate) async fn insert(tx: &mut PgConnection, row: &NewWaiting<'_>) -> Result<()> {
    let written = sqlx::query!(
        "insert into quarantine (quarantine_id, namespace_id, api_key_id, entrance, received_at, reason,
             message, number, model_keys, hold_id, report, body, continues)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        row.quarantine_id,
        row.namespace_id,
        row.api_key_id,
        row.entrance,
        row.received_at,
        row.reason,
        row.message,
        row.number,
        &row.model_keys,
        row.hold_id,
        Json(row.report) as _,
        row.body,
        row.continues
    )
    .execute(tx)
    .await?;
    match written.rows_affected() {
        1 => Ok(()),
        rows => Err(Error::corrupt(format!("{rows} rows of a waiting report"))),
    }
}

/// A body that does not tell who used what.
pub(crate) struct NewUnread<'a> {
    pub quarantine_id: Uuid,
    pub namespace_id: i64,
    pub api_key_id: Uuid,
    pub entrance: &'static str,
    pub received_at: OffsetDateTime,
    pub reason: &'static str,
    pub body: &'a [u8],
    pub body_digest: [u8; 32],
}

/// Keeps a body that was not read. The same body twice waits once.
pub(crate) async fn insert_unread(tx: &mut PgConnection, row: &NewUnread<'_>) -> Result<()> {
    sqlx::query!(
        "insert into quarantine (quarantine_id, namespace_id, api_key_id, entrance, received_at, reason,
             model_keys, body, body_digest)
         values ($1, $2, $3, $4, $5, $6, '{}', $7, $8)
         on conflict (namespace_id, body_digest) where status = 'waiting' and body_digest is not null
             do nothing",
        row.quarantine_id,
        row.namespace_id,
        row.api_key_id,
        row.entrance,
        row.received_at,
        row.reason,
        row.body,
        row.body_digest.as_slice()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks those of the rows that wait.
pub(crate) async fn lock_waiting(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select quarantine_id from quarantine where quarantine_id = any($1) and status = 'waiting'
         order by quarantine_id for update",
        ids
    )
    .fetch_all(tx)
    .await?)
}

/// Marks a locked row whose message was charged in this transaction, or had been.
pub(crate) async fn mark_charged(
    tx: &mut PgConnection,
    quarantine_id: Uuid,
    now: OffsetDateTime,
    actor: Option<&str>,
) -> Result<()> {
    sqlx::query!(
        "update quarantine set status = 'charged', resolved_at = $2, resolved_by = $3
         where quarantine_id = $1",
        quarantine_id,
        now,
        actor
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A row with the name of its source.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct QuarantineRow {
    pub quarantine_id: Uuid,
    pub namespace_id: i64,
    pub api_key_id: Uuid,
    pub name: String,
    pub entrance: String,
    pub received_at: OffsetDateTime,
    pub reason: String,
    pub hold_id: Option<Uuid>,
    pub report: Option<Json<MessageUsage>>,
    pub continues: bool,
    pub body: Vec<u8>,
    pub status: String,
    pub resolved_at: Option<OffsetDateTime>,
    pub resolved_by: Option<String>,
    pub resolution: Option<String>,
}

/// One row, whatever became of it.
pub(crate) async fn one(
    executor: impl PgExecutor<'_>,
    quarantine_id: Uuid,
) -> Result<Option<QuarantineRow>> {
    Ok(sqlx::query_as(
        "select q.*, k.name from quarantine q join api_key k using (api_key_id)
         where q.quarantine_id = $1",
    )
    .bind(quarantine_id)
    .fetch_optional(executor)
    .await?)
}

/// What waits, newest first, before a row; only for one reason, if one is named.
pub(crate) async fn page(
    executor: impl PgExecutor<'_>,
    before: Uuid,
    reason: Option<&str>,
    rows_max: i64,
) -> Result<Vec<QuarantineRow>> {
    Ok(sqlx::query_as(
        "select q.*, k.name from quarantine q join api_key k using (api_key_id)
         where q.status = 'waiting' and q.quarantine_id < $1 and ($2::text is null or q.reason = $2)
         order by q.quarantine_id desc limit $3",
    )
    .bind(before)
    .bind(reason)
    .bind(rows_max)
    .fetch_all(executor)
    .await?)
}

/// What waits for a price of a model, oldest first, after a row.
pub(crate) async fn unpriced(
    executor: impl PgExecutor<'_>,
    model_key: &str,
    after: Uuid,
    rows_max: i64,
) -> Result<Vec<QuarantineRow>> {
    Ok(sqlx::query_as(
        "select q.*, k.name from quarantine q join api_key k using (api_key_id)
         where q.status = 'waiting' and q.reason in ('unknown_model', 'inactive_price')
             and $1 = any(q.model_keys) and q.quarantine_id > $2
         order by q.quarantine_id limit $3",
    )
    .bind(model_key)
    .bind(after)
    .bind(rows_max)
    .fetch_all(executor)
    .await?)
}

/// How many wait for a price of a model.
pub(crate) async fn unpriced_count(executor: impl PgExecutor<'_>, model_key: &str) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from quarantine
         where status = 'waiting' and $1 = any(model_keys)
             and reason in ('unknown_model', 'inactive_price')"#,
        model_key
    )
    .fetch_one(executor)
    .await?)
}

/// How many wait.
pub(crate) async fn waiting_count(executor: impl PgExecutor<'_>) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from quarantine where status = 'waiting'"#
    )
    .fetch_one(executor)
    .await?)
}

/// Gives up what waits; `false` when it waits no longer.
pub(crate) async fn dismiss(
    tx: &mut PgConnection,
    quarantine_id: Uuid,
    by: &str,
    reason: &str,
) -> Result<bool> {
    let dismissed = sqlx::query!(
        "update quarantine set status = 'dismissed', resolved_at = now(), resolved_by = $2, resolution = $3
         where quarantine_id = $1 and status = 'waiting'",
        quarantine_id,
        by,
        reason
    )
    .execute(tx)
    .await?;
    Ok(dismissed.rows_affected() == 1)
}

/// The reports of a message that wait.
pub(crate) async fn waiting_of(
    executor: impl PgExecutor<'_>,
    message: Uuid,
) -> Result<Vec<QuarantineRow>> {
    Ok(sqlx::query_as(
        "select q.*, k.name from message_event e join quarantine q using (quarantine_id)
         join api_key k on k.api_key_id = q.api_key_id
         where e.message = $1 and e.kind = 'waiting' and q.status = 'waiting'",
    )
    .bind(message)
    .fetch_all(executor)
    .await?)
}
