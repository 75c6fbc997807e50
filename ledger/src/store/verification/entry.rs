//! Entries, as they are stored.

use futures::Stream;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Cut;
use crate::error::Result;
use crate::records::entry::EntryLine;

/// All that is stored of an entry.
#[derive(Debug)]
pub(crate) struct StoredEntry {
    pub recorded_at: OffsetDateTime,
    pub occurred_at: OffsetDateTime,
    pub amount_nano: i64,
    pub balance_after_nano: i64,
    pub kind: String,
    pub corrects_entry: Option<i64>,
    pub follows_entry: Option<i64>,
    pub message: Option<Uuid>,
    pub origin: OriginColumns,
    pub lines: Option<Vec<EntryLine>>,
    pub dues: DuesColumns,
    pub reason: Option<String>,
    pub actor: Option<String>,
}

#[derive(Debug)]
pub(crate) struct OriginColumns {
    pub api_key_id: Option<Uuid>,
    pub namespace_id: Option<i64>,
    pub entrance: Option<String>,
    pub message_id: Option<String>,
    pub conversation_id: Option<String>,
    pub request_id: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct DuesColumns {
    pub cost_nano: Option<i64>,
    pub owed_nano: Option<i64>,
    pub basis_nano: Option<i64>,
    pub cap_nano: Option<i64>,
}

/// Where an entry is, and its hash: what can be read of it even if the rest cannot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredEntryPlace {
    pub account_id: Uuid,
    pub entry: i64,
    pub hash: Option<[u8; 32]>,
    /// Every later snapshot has it.
    pub is_old: bool,
}

impl StoredEntryPlace {
    pub(crate) fn of(row: &PgRow) -> Result<Self> {
        Ok(Self {
            account_id: row.try_get(0)?,
            entry: row.try_get(1)?,
            hash: row.try_get::<&[u8], _>(2)?.try_into().ok(),
            is_old: row.try_get(3)?,
        })
    }
}

impl StoredEntry {
    /// By place, not by name: this is most of what reading an entry costs.
    pub(crate) fn of(row: &PgRow) -> Result<Self> {
        let lines: Option<Json<Vec<EntryLine>>> = row.try_get(18)?;
        Ok(Self {
            recorded_at: row.try_get(4)?,
            occurred_at: row.try_get(5)?,
            amount_nano: row.try_get(6)?,
            balance_after_nano: row.try_get(7)?,
            kind: row.try_get(8)?,
            corrects_entry: row.try_get(9)?,
            follows_entry: row.try_get(10)?,
            message: row.try_get(11)?,
            origin: OriginColumns {
                api_key_id: row.try_get(12)?,
                namespace_id: row.try_get(13)?,
                entrance: row.try_get(14)?,
                message_id: row.try_get(15)?,
                conversation_id: row.try_get(16)?,
                request_id: row.try_get(17)?,
            },
            lines: lines.map(|Json(lines)| lines),
            dues: DuesColumns {
                cost_nano: row.try_get(19)?,
                owed_nano: row.try_get(20)?,
                basis_nano: row.try_get(21)?,
                cap_nano: row.try_get(22)?,
            },
            reason: row.try_get(23)?,
            actor: row.try_get(24)?,
        })
    }
}

/// The entries of accounts from the given ones on, so many of each at most: account by account as given,
/// and each in order, because a lateral join goes through its left side in order.
pub(crate) fn entries<'c>(
    connection: &'c mut PgConnection,
    accounts: &'c [Uuid],
    from: &'c [i64],
    rows_max: i64,
    cut: &'c Cut,
) -> impl Stream<Item = sqlx::Result<PgRow>> + Send + 'c {
    sqlx::query(
        "select j.* from unnest($1::uuid[], $2::bigint[]) as k (account_id, entry)
         cross join lateral (
             select account_id, entry, hash, tx < $4::text::xid8 or recorded_at < $5,
                    recorded_at, occurred_at, amount_nano, balance_after_nano, kind, corrects_entry,
                    follows_entry, message, api_key_id, namespace_id, entrance, message_id,
                    conversation_id, request_id, lines, cost_nano, owed_nano, basis_nano, cap_nano,
                    reason, actor
             from journal_entry where account_id = k.account_id and entry >= k.entry
             order by entry limit $3
         ) j",
    )
    .bind(accounts)
    .bind(from)
    .bind(rows_max)
    .bind(&cut.transaction)
    .bind(cut.recorded_before)
    .fetch(connection)
}

/// An entry of a message, as far as the next one goes by it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct EarlierRow {
    pub account_id: Uuid,
    pub entry: i64,
    pub message: Option<Uuid>,
    pub amount_nano: i64,
    pub corrects_entry: Option<i64>,
    pub owed_nano: Option<i64>,
}

/// Entries by account and number.
pub(crate) async fn earlier(
    connection: &mut PgConnection,
    accounts: &[Uuid],
    numbers: &[i64],
) -> Result<Vec<EarlierRow>> {
    Ok(sqlx::query_as(
        "select distinct j.account_id, j.entry, j.message, j.amount_nano, j.corrects_entry, j.owed_nano
         from unnest($1::uuid[], $2::bigint[]) as k (account_id, entry)
         join journal_entry j on j.account_id = k.account_id and j.entry = k.entry",
    )
    .bind(accounts)
    .bind(numbers)
    .fetch_all(connection)
    .await?)
}
