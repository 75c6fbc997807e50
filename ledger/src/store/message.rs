//! What is on record about messages: which ids are claimed, what happened to each, and what its
//! entries say.

use std::collections::BTreeMap;

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::entry::EntryLine;
use shared::usage::Usage;

/// An id that belongs to a message.
#[derive(sqlx::FromRow)]
pub(crate) struct ClaimRow {
    pub id: Uuid,
    pub message: Uuid,
    pub account_id: Option<Uuid>,
    pub entry: Option<i64>,
}

/// What happened to a message beside its first charge.
#[derive(sqlx::FromRow)]
pub(crate) struct EventRow {
    pub message: Uuid,
    pub number: i32,
    pub kind: String,
    pub account_id: Uuid,
    pub entry: Option<i64>,
    pub api_key_id: Option<Uuid>,
    pub entrance: Option<String>,
    pub occurred_at: Option<OffsetDateTime>,
    pub usage: Option<Json<Usage>>,
    pub counts_as: Option<i32>,
    pub quarantine_id: Option<Uuid>,
    /// Whether that still waits.
    pub is_waiting: bool,
    pub versions: Option<Json<BTreeMap<String, i64>>>,
    pub other: Option<Uuid>,
    pub lines: Option<Json<Vec<EntryLine>>>,
    pub cost_nano: Option<i64>,
    pub owed_nano: Option<i64>,
    pub basis_nano: Option<i64>,
    pub cap_nano: Option<i64>,
}

/// What an entry says of its message.
#[derive(sqlx::FromRow)]
pub(crate) struct StateRow {
    pub account_id: Uuid,
    pub entry: i64,
    pub amount_nano: i64,
    pub balance_after_nano: i64,
    pub occurred_at: OffsetDateTime,
    pub api_key_id: Option<Uuid>,
    pub entrance: Option<String>,
    pub lines: Json<Vec<EntryLine>>,
    pub cost_nano: Option<i64>,
    pub owed_nano: Option<i64>,
    pub basis_nano: Option<i64>,
    pub cap_nano: Option<i64>,
}

/// The messages that ids belong to.
pub(crate) async fn claims(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<ClaimRow>> {
    // An id that was learned later does not say where its message was charged; its first id may.
    Ok(sqlx::query_as!(
        ClaimRow,
        r#"select c.id, c.message, coalesce(c.account_id, o.account_id) as "account_id?",
                coalesce(c.entry, o.entry) as "entry?"
         from claim c join claim o on o.id = c.message where c.id = any($1)"#,
        ids
    )
    .fetch_all(connection)
    .await?)
}

/// What happened to messages, in order.
pub(crate) async fn events(
    connection: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<EventRow>> {
    Ok(sqlx::query_as(
        "select e.*, coalesce(q.status = 'waiting', false) as is_waiting
         from message_event e left join quarantine q on q.quarantine_id = e.quarantine_id
         where e.message = any($1) order by e.message, e.number",
    )
    .bind(messages)
    .fetch_all(connection)
    .await?)
}

/// What some entries say of their messages.
pub(crate) async fn states(
    connection: &mut PgConnection,
    entries: &[(Uuid, i64)],
) -> Result<Vec<StateRow>> {
    let (accounts, numbers): (Vec<_>, Vec<_>) = entries.iter().copied().unzip();
    Ok(sqlx::query_as(
        "select j.account_id, j.entry, j.amount_nano, j.balance_after_nano, j.occurred_at, j.api_key_id,
                j.entrance, j.lines, j.cost_nano, j.owed_nano, j.basis_nano, j.cap_nano
         from unnest($1::uuid[], $2::bigint[]) as k (account_id, entry)
         join journal_entry j on j.account_id = k.account_id and j.entry = k.entry",
    )
    .bind(accounts)
    .bind(numbers)
    .fetch_all(connection)
    .await?)
}

/// The message that an entry is about.
pub(crate) async fn of_entry(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    entry: i64,
) -> Result<Option<Uuid>> {
    let message: Option<Option<Uuid>> = sqlx::query_scalar!(
        "select message from journal_entry where account_id = $1 and entry = $2",
        account_id,
        entry
    )
    .fetch_optional(executor)
    .await?;
    Ok(message.flatten())
}

/// Which of some entries are first charges, and of which messages.
pub(crate) async fn charges(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    entries: &[i64],
) -> Result<Vec<(i64, Uuid)>> {
    Ok(sqlx::query_as(
        "select entry, message from journal_entry
         where account_id = $1 and entry = any($2) and kind = 'charge' order by entry",
    )
    .bind(account_id)
    .bind(entries)
    .fetch_all(executor)
    .await?)
}

/// A message by its first charge.
pub(crate) struct ChargedMessageRow {
    pub account_id: Uuid,
    pub entry: i64,
    pub user_id: String,
    pub message: Uuid,
}

/// Messages that happened from a time on and before another, by account and first charge, after the
/// given ones.
pub(crate) async fn charged_between(
    executor: impl PgExecutor<'_>,
    (from, to): (OffsetDateTime, OffsetDateTime),
    (after_account, after_entry): (Uuid, i64),
    rows_max: i64,
) -> Result<Vec<ChargedMessageRow>> {
    Ok(sqlx::query_as!(
        ChargedMessageRow,
        r#"select j.account_id, j.entry, a.user_id, j.message as "message!"
         from journal_entry j join account a using (account_id)
         where j.kind = 'charge' and j.occurred_at >= $1 and j.occurred_at < $2
             and (j.account_id, j.entry) > ($3, $4)
         order by j.account_id, j.entry limit $5"#,
        from,
        to,
        after_account,
        after_entry,
        rows_max
    )
    .fetch_all(executor)
    .await?)
}
