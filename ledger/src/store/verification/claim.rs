//! Claims: by blocks of their table, and by id.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::Cut;
use crate::error::Result;
use crate::store::message::ClaimRow;

/// How many blocks the table has.
pub(crate) async fn blocks(executor: impl PgExecutor<'_>) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "select pg_relation_size('claim') / current_setting('block_size')::bigint",
    )
    .fetch_one(executor)
    .await?)
}

/// All claims in some blocks of the table: its order by id is no order on disk.
pub(crate) async fn in_blocks(
    connection: &mut PgConnection,
    (first, end): (i64, i64),
) -> Result<Vec<ClaimRow>> {
    Ok(sqlx::query_as(
        "select id, message, account_id, entry from claim
         where ctid >= $1::text::tid and ctid < $2::text::tid",
    )
    .bind(format!("({first},0)"))
    .bind(format!("({end},0)"))
    .fetch_all(connection)
    .await?)
}

/// Claims by id.
pub(crate) async fn of_ids(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<ClaimRow>> {
    Ok(
        sqlx::query_as("select id, message, account_id, entry from claim where id = any($1)")
            .bind(ids)
            .fetch_all(connection)
            .await?,
    )
}

/// Which of some ids nobody has claimed, by their places.
pub(crate) async fn unclaimed(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(
        "select k.place from unnest($1::uuid[]) with ordinality as k (id, place)
         where not exists (select from claim c where c.id = k.id)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?)
}

/// A message that is first charged by an entry, or changed by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::FromRow)]
pub(crate) struct ChargePlace {
    pub message: Uuid,
    pub account_id: Uuid,
    pub entry: i64,
}

/// Which of some entries of messages neither the message's own claim nor an event of it tells of, by
/// their places.
pub(crate) async fn untold(
    connection: &mut PgConnection,
    places: &[ChargePlace],
) -> Result<Vec<i64>> {
    let messages: Vec<_> = places.iter().map(|place| place.message).collect();
    let accounts: Vec<_> = places.iter().map(|place| place.account_id).collect();
    let entries: Vec<_> = places.iter().map(|place| place.entry).collect();
    Ok(sqlx::query_scalar(
        "select k.place
         from unnest($1::uuid[], $2::uuid[], $3::bigint[]) with ordinality as k (message, account_id, entry, place)
         where not exists (select from claim c where c.id = k.message and c.message = k.message
                 and c.account_id = k.account_id and c.entry = k.entry)
             and not exists (select from message_event e where e.message = k.message
                 and e.account_id = k.account_id and e.entry = k.entry)",
    )
    .bind(messages)
    .bind(accounts)
    .bind(entries)
    .fetch_all(connection)
    .await?)
}

/// As [`untold`], of all entries there are: for when something is known to be wrong.
pub(crate) async fn all_untold(connection: &mut PgConnection) -> Result<Vec<ChargePlace>> {
    Ok(sqlx::query_as(
        "select j.message, j.account_id, j.entry from journal_entry j
         where j.message is not null
             and not exists (select from claim c where c.id = j.message and c.message = j.message
                 and c.account_id = j.account_id and c.entry = j.entry)
             and not exists (select from message_event e where e.message = j.message
                 and e.account_id = j.account_id and e.entry = j.entry)",
    )
    .fetch_all(connection)
    .await?)
}

/// A message that its own claim, or an event, says to be charged by an entry that is not there, or is
/// another one's.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct MissingCharge {
    pub message: Uuid,
    pub account_id: Uuid,
    pub entry: i64,
    /// Which entry of the message it is told to be: the event's number.
    pub number: Option<i32>,
}

/// All of them.
pub(crate) async fn missing_charges(connection: &mut PgConnection) -> Result<Vec<MissingCharge>> {
    Ok(sqlx::query_as(
        "select c.message, c.account_id, c.entry, null::integer as number from claim c
         where c.id = c.message and c.account_id is not null
             and not exists (select from journal_entry j where j.account_id = c.account_id
                 and j.entry = c.entry and j.message = c.message)
         union all
         select e.message, e.account_id, e.entry, e.number from message_event e
         where e.entry is not null
             and not exists (select from journal_entry j where j.account_id = e.account_id
                 and j.entry = e.entry and j.message = e.message)",
    )
    .fetch_all(connection)
    .await?)
}

/// What a message's own claim says of its first charge.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct ToldCharge {
    #[sqlx(flatten)]
    pub place: ChargePlace,
    /// Whether every later snapshot has the entry; absent where it is not there.
    pub is_old: Option<bool>,
}

/// What the claims in a range of ids say.
pub(crate) async fn told_in_range(
    connection: &mut PgConnection,
    (first, last): (Uuid, Uuid),
    cut: &Cut,
) -> Result<Vec<ToldCharge>> {
    Ok(sqlx::query_as(
        "select c.message, c.account_id, c.entry, j.tx < $3::text::xid8 or j.recorded_at < $4 as is_old
         from claim c
         left join journal_entry j on j.account_id = c.account_id and j.entry = c.entry
             and j.message = c.message
         where c.id >= $1 and c.id <= $2 and c.id = c.message and c.account_id is not null",
    )
    .bind(first)
    .bind(last)
    .bind(&cut.transaction)
    .bind(cut.recorded_before)
    .fetch_all(connection)
    .await?)
}
