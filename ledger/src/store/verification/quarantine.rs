//! What waits, or waited.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;

/// How many rows there are of each status.
pub(crate) async fn counts(connection: &mut PgConnection) -> Result<Vec<(String, i64)>> {
    Ok(
        sqlx::query_as("select status, count(*) from quarantine group by status")
            .fetch_all(connection)
            .await?,
    )
}

/// A place in quarantine and the report of a message that do not belong together.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct StrayWait {
    pub account_id: Option<Uuid>,
    pub message: Uuid,
    pub number: i32,
}

/// Places in quarantine of which the message does not know.
pub(crate) async fn without_event(connection: &mut PgConnection) -> Result<Vec<StrayWait>> {
    Ok(sqlx::query_as(
        "select null::uuid as account_id, q.message, q.number from quarantine q
         where q.message is not null and not exists (select from message_event e
             where e.message = q.message and e.number = q.number and e.kind = 'waiting'
                 and e.quarantine_id = q.quarantine_id)",
    )
    .fetch_all(connection)
    .await?)
}

/// Reports that wait without a place in quarantine. One that went on in another message keeps the place
/// that it had.
pub(crate) async fn without_place(connection: &mut PgConnection) -> Result<Vec<StrayWait>> {
    Ok(sqlx::query_as(
        "select e.account_id, e.message, e.number from message_event e
         where e.kind = 'waiting' and not exists (select from quarantine q
             where q.quarantine_id = e.quarantine_id
                 and (e.other is not null or q.message = e.message and q.number = e.number))",
    )
    .fetch_all(connection)
    .await?)
}

/// A delivery that was to wait.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct QuarantinedDelivery {
    pub tx: String,
    pub id: i64,
    pub api_key_id: Uuid,
    pub namespace_id: i64,
    pub message_id: Option<String>,
    pub message: Option<Uuid>,
    pub body: Option<Vec<u8>>,
}

/// Such deliveries, after one.
pub(crate) async fn deliveries(
    connection: &mut PgConnection,
    (tx, id): (&str, i64),
    rows_max: i64,
) -> Result<Vec<QuarantinedDelivery>> {
    Ok(sqlx::query_as(
        "select d.tx::text as tx, d.id, d.api_key_id, k.namespace_id, d.message_id, d.message, d.body
         from delivery d join api_key k on k.api_key_id = d.api_key_id
         where d.outcome = 'quarantined' and (d.tx, d.id) > ($1::text::xid8, $2)
         order by d.tx, d.id limit $3",
    )
    .bind(tx)
    .bind(id)
    .bind(rows_max)
    .fetch_all(connection)
    .await?)
}

/// Of deliveries by their messages: the places of those of which no report waits or waited, neither of
/// the message nor of the one that it turned out to be.
pub(crate) async fn not_waiting(
    connection: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(
        "select k.place from unnest($1::uuid[]) with ordinality as k (message, place)
         where not exists (
             with recursive known (message) as (
                 select k.message
                 union select e.other from known join message_event e using (message) where e.kind = 'joined'
             )
             select from known join message_event e using (message) where e.kind = 'waiting')",
    )
    .bind(messages)
    .fetch_all(connection)
    .await?)
}

/// Of deliveries by their sources: the places of those whose source has sent nothing that could not be
/// read.
pub(crate) async fn without_unread(
    connection: &mut PgConnection,
    sources: &[Uuid],
) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(
        "select k.place from unnest($1::uuid[]) with ordinality as k (api_key_id, place)
         where not exists (select from quarantine q
             where q.api_key_id = k.api_key_id and q.message is null)",
    )
    .bind(sources)
    .fetch_all(connection)
    .await?)
}

/// Of bodies that could not be read, by their digests: the places of those that neither wait nor waited.
pub(crate) async fn bodies_not_waiting(
    connection: &mut PgConnection,
    namespaces: &[i64],
    digests: &[Vec<u8>],
) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(
        "select k.place
         from unnest($1::bigint[], $2::bytea[]) with ordinality as k (namespace_id, digest, place)
         where not exists (select from quarantine q
             where q.namespace_id = k.namespace_id and q.body_digest = k.digest)",
    )
    .bind(namespaces)
    .bind(digests)
    .fetch_all(connection)
    .await?)
}
