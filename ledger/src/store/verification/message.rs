//! Messages with more to tell than their first charge.

use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Cut;
use super::claim::ChargePlace;
use crate::error::Result;
use crate::records::entry::EntryLine;

/// Messages that have events, by id, after one and up to another one.
pub(crate) async fn with_events(
    connection: &mut PgConnection,
    (after, last): (Uuid, Uuid),
    rows_max: i64,
) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select distinct message from message_event where message > $1 and message <= $2
         order by message limit $3",
    )
    .bind(after)
    .bind(last)
    .bind(rows_max)
    .fetch_all(connection)
    .await?)
}

/// Which of some messages have events.
pub(crate) async fn having_events(
    connection: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select k.message from unnest($1::uuid[]) as k (message)
         where exists (select from message_event e where e.message = k.message)",
    )
    .bind(messages)
    .fetch_all(connection)
    .await?)
}

/// Which of some messages others turned out to be.
pub(crate) async fn having_joined(
    connection: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select distinct message from message_event
         where message = any($1) and other is not null and kind <> 'joined'",
    )
    .bind(messages)
    .fetch_all(connection)
    .await?)
}

/// Messages that have ended because they turned out to be one of these: which, and which one.
pub(crate) async fn ended_in(
    connection: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>> {
    Ok(sqlx::query_as(
        "select message, other from message_event where kind = 'joined' and other = any($1)",
    )
    .bind(messages)
    .fetch_all(connection)
    .await?)
}

/// The entries that events tell of and every later snapshot has.
pub(crate) async fn told_by_events(
    connection: &mut PgConnection,
    messages: &[Uuid],
    cut: &Cut,
) -> Result<Vec<ChargePlace>> {
    Ok(sqlx::query_as(
        "select message, account_id, entry from message_event
         where message = any($1) and entry is not null
             and (tx < $2::text::xid8 or recorded_at < $3)",
    )
    .bind(messages)
    .bind(&cut.transaction)
    .bind(cut.recorded_before)
    .fetch_all(connection)
    .await?)
}

/// An entry of a message.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct MessageEntryRow {
    pub account_id: Uuid,
    pub entry: i64,
    pub message: Option<Uuid>,
    pub kind: String,
    pub amount_nano: i64,
    pub occurred_at: OffsetDateTime,
    pub api_key_id: Option<Uuid>,
    pub entrance: Option<String>,
    pub corrects_entry: Option<i64>,
    pub follows_entry: Option<i64>,
    pub lines: Option<Json<Vec<EntryLine>>>,
    pub cost_nano: Option<i64>,
    pub owed_nano: Option<i64>,
    pub basis_nano: Option<i64>,
    pub cap_nano: Option<i64>,
}

/// Entries by account and number.
pub(crate) async fn entries(
    connection: &mut PgConnection,
    places: &[(Uuid, i64)],
) -> Result<Vec<MessageEntryRow>> {
    let (accounts, numbers): (Vec<_>, Vec<_>) = places.iter().copied().unzip();
    Ok(sqlx::query_as(
        "select j.account_id, j.entry, j.message, j.kind, j.amount_nano, j.occurred_at, j.api_key_id,
                j.entrance, j.corrects_entry, j.follows_entry, j.lines, j.cost_nano, j.owed_nano,
                j.basis_nano, j.cap_nano
         from unnest($1::uuid[], $2::bigint[]) as k (account_id, entry)
         join journal_entry j on j.account_id = k.account_id and j.entry = k.entry",
    )
    .bind(accounts)
    .bind(numbers)
    .fetch_all(connection)
    .await?)
}
