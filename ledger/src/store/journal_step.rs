//! The journal in the order of commit, as sums follow it: entries, and what changed a message without
//! one.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::entry::EntryLine;

/// Which entry of which account.
pub(crate) type EntryPlace = (Uuid, i64);

/// An entry.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct JournalRow {
    pub account_id: Uuid,
    pub entry: i64,
    pub recorded_at: OffsetDateTime,
    pub occurred_at: OffsetDateTime,
    pub amount_nano: i64,
    pub kind: String,
    pub follows_entry: Option<i64>,
    pub message: Option<Uuid>,
    pub api_key_id: Option<Uuid>,
    pub lines: Option<Json<Vec<EntryLine>>>,
    pub owed_nano: Option<i64>,
}

/// An event that changed what a message costs without an entry, or ended it.
#[derive(Debug)]
pub(crate) struct ChangeRow {
    pub message: Uuid,
    pub number: i32,
    pub kind: String,
    pub account_id: Uuid,
    pub recorded_at: OffsetDateTime,
}

/// An event of a message that says, itself or by its entry, what the message costs after it.
#[derive(Debug)]
pub(crate) struct EventState {
    pub message: Uuid,
    pub number: i32,
    pub account_id: Uuid,
    pub entry: Option<i64>,
    pub lines: Option<Json<Vec<EntryLine>>>,
    pub owed_nano: Option<i64>,
}

/// Transactions from one on, before another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub from: u64,
    pub until: u64,
}

/// Where a stretch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Horizon {
    /// At the oldest transaction that is still running: no row can appear before it any longer.
    Settled,
    /// Behind all that can be seen.
    Visible,
}

/// Where the next rows lie, by their transactions.
struct BoundsRow {
    /// Of the first row.
    first: Option<String>,
    /// Of the first row that is too many.
    rest: Option<String>,
    /// Where the stretch ends at the latest.
    end: String,
}

/// The next transactions that entered something: with about so many rows, and none of them in part.
/// `None` where there are none.
pub(crate) async fn next_stretch(
    connection: &mut PgConnection,
    from: u64,
    rows_max: i64,
    horizon: Horizon,
) -> Result<Option<Stretch>> {
    let bounds: BoundsRow = sqlx::query_as!(
        BoundsRow,
        r#"select least(
                 (select tx from journal_entry where tx >= $1::text::xid8 order by tx limit 1),
                 (select tx from message_event
                  where tx >= $1::text::xid8 and (lines is not null or kind = 'joined') order by tx limit 1)
             )::text as first,
             least(
                 (select tx from journal_entry where tx >= $1::text::xid8 order by tx offset $2 limit 1),
                 (select tx from message_event
                  where tx >= $1::text::xid8 and (lines is not null or kind = 'joined')
                  order by tx offset $2 limit 1)
             )::text as rest,
             (case when $3 then pg_snapshot_xmin(pg_current_snapshot()) else $4::text::xid8 end)::text as "end!""#,
        from.to_string(),
        rows_max,
        horizon == Horizon::Settled,
        u64::MAX.to_string()
    )
    .fetch_one(connection)
    .await?;
    let Some(first) = bounds.first else {
        return Ok(None);
    };
    let rest = bounds.rest.as_deref().map(parse).transpose()?;
    Ok(stretch(from, parse(&first)?, rest, parse(&bounds.end)?))
}

/// The transactions from `from` on, the first of which is `first`, that end before `rest` and before
/// `end`. A transaction that has more rows than are wanted is not split.
fn stretch(from: u64, first: u64, rest: Option<u64>, end: u64) -> Option<Stretch> {
    let until = rest.unwrap_or(end).max(first.saturating_add(1)).min(end);
    (first < end).then_some(Stretch { from, until })
}

fn parse(tx: &str) -> Result<u64> {
    tx.parse()
        .map_err(|_| Error::corrupt("a transaction's number"))
}

const ENTRY: &str =
    "j.account_id, j.entry, j.recorded_at, j.occurred_at, j.amount_nano, j.kind, j.follows_entry,
    j.message, j.api_key_id, j.lines, j.owed_nano";

/// Entries of a stretch, of one account where it is given.
pub(crate) async fn entries(
    connection: &mut PgConnection,
    stretch: Stretch,
    account_id: Option<Uuid>,
) -> Result<Vec<JournalRow>> {
    let sql = format!(
        "select {ENTRY} from journal_entry j where tx >= $1::text::xid8 and tx < $2::text::xid8
             and ($3::uuid is null or account_id = $3)"
    );
    Ok(sqlx::query_as(AssertSqlSafe(sql))
        .bind(stretch.from.to_string())
        .bind(stretch.until.to_string())
        .bind(account_id)
        .fetch_all(connection)
        .await?)
}

/// An entry, and whether it is of a transaction before the mark.
#[derive(sqlx::FromRow)]
pub(crate) struct CheckedRow {
    #[sqlx(flatten)]
    pub entry: JournalRow,
    pub is_before_mark: bool,
}

/// Entries by account and number, after a given one and up to an account.
pub(crate) async fn entries_of_accounts(
    connection: &mut PgConnection,
    mark: u64,
    (after_account, after_entry): EntryPlace,
    last_account: Uuid,
    rows_max: i64,
) -> Result<Vec<CheckedRow>> {
    let sql = format!(
        "select {ENTRY}, tx < $1::text::xid8 as is_before_mark from journal_entry j
         where (account_id, entry) > ($2, $3) and account_id <= $4
         order by account_id, entry limit $5"
    );
    Ok(sqlx::query_as(AssertSqlSafe(sql))
        .bind(mark.to_string())
        .bind(after_account)
        .bind(after_entry)
        .bind(last_account)
        .bind(rows_max)
        .fetch_all(connection)
        .await?)
}

/// Some entries.
pub(crate) async fn entries_at(
    connection: &mut PgConnection,
    places: &[EntryPlace],
) -> Result<Vec<JournalRow>> {
    let (accounts, numbers): (Vec<_>, Vec<_>) = places.iter().copied().unzip();
    let sql = format!(
        "select {ENTRY} from unnest($1::uuid[], $2::bigint[]) as k (account_id, entry)
         join journal_entry j on j.account_id = k.account_id and j.entry = k.entry"
    );
    Ok(sqlx::query_as(AssertSqlSafe(sql))
        .bind(accounts)
        .bind(numbers)
        .fetch_all(connection)
        .await?)
}

/// What changed messages without an entry in a stretch, of one account where it is given.
pub(crate) async fn changes(
    connection: &mut PgConnection,
    stretch: Stretch,
    account_id: Option<Uuid>,
) -> Result<Vec<ChangeRow>> {
    Ok(sqlx::query_as!(
        ChangeRow,
        "select message, number, kind, account_id, recorded_at from message_event
         where tx >= $1::text::xid8 and tx < $2::text::xid8 and (lines is not null or kind = 'joined')
             and ($3::uuid is null or account_id = $3)",
        stretch.from.to_string(),
        stretch.until.to_string(),
        account_id
    )
    .fetch_all(connection)
    .await?)
}

/// What changed some messages without an entry before a transaction.
pub(crate) async fn changes_of_messages(
    connection: &mut PgConnection,
    before_tx: u64,
    messages: &[Uuid],
) -> Result<Vec<ChangeRow>> {
    Ok(sqlx::query_as!(
        ChangeRow,
        "select message, number, kind, account_id, recorded_at from message_event
         where message = any($2) and tx < $1::text::xid8 and (lines is not null or kind = 'joined')",
        before_tx.to_string(),
        messages
    )
    .fetch_all(connection)
    .await?)
}

/// What messages cost after each of their events, in order.
pub(crate) async fn states(
    connection: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<EventState>> {
    Ok(sqlx::query_as!(
        EventState,
        r#"select message, number, account_id, entry, lines as "lines: Json<Vec<EntryLine>>", owed_nano
         from message_event
         where message = any($1) and (entry is not null or lines is not null)
         order by message, number"#,
        messages
    )
    .fetch_all(connection)
    .await?)
}

/// Where messages were first charged, as far as no event says so.
pub(crate) async fn first_charges(
    connection: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<(Uuid, Uuid, i64)>> {
    Ok(sqlx::query_as(
        "select id, account_id, entry from claim where id = any($1) and entry is not null",
    )
    .bind(messages)
    .fetch_all(connection)
    .await?)
}

#[cfg(test)]
mod tests {
    use super::stretch;

    fn until(first: u64, rest: Option<u64>, end: u64) -> Option<u64> {
        stretch(0, first, rest, end).map(|it| it.until)
    }

    #[test]
    fn a_stretch_ends_before_what_is_too_much_and_before_what_still_runs() {
        assert_eq!(until(5, Some(8), 20), Some(8));
        assert_eq!(until(5, Some(30), 20), Some(20));
        assert_eq!(until(5, None, 20), Some(20));
        assert_eq!(until(5, None, u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn a_transaction_with_too_many_rows_is_taken_whole() {
        assert_eq!(until(5, Some(5), 20), Some(6));
        assert_eq!(until(5, Some(5), 6), Some(6));
    }

    #[test]
    fn what_still_runs_is_left_for_later() {
        assert_eq!(until(5, None, 5), None);
        assert_eq!(until(5, Some(5), 5), None);
        assert_eq!(until(5, Some(9), 4), None);
    }
}
