//! What Dify served and nobody had reported when it was looked for.

use shared::api::ServedMessage;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::api_key::ApiKey;
use crate::records::hash::MessageId;

/// Messages told together.
const MISSING_MAX: i64 = 1000;

/// Of which rows `s` of `missing_message` nothing has arrived since they were looked for.
macro_rules! is_missing {
    () => {
        "not exists (select from claim where id = s.message)"
    };
}
pub(crate) use is_missing;

#[derive(sqlx::FromRow)]
struct MissingRow {
    message_id: String,
    user_id: String,
    conversation_id: Option<String>,
    occurred_at: OffsetDateTime,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
}

impl TryFrom<MissingRow> for ServedMessage {
    type Error = Error;

    fn try_from(row: MissingRow) -> Result<Self> {
        let tokens = |tokens: Option<i64>| tokens.and_then(|tokens| tokens.try_into().ok());
        Ok(Self {
            message_id: row.message_id,
            user_id: row
                .user_id
                .parse()
                .map_err(|_| Error::corrupt("a user's name"))?,
            conversation_id: row.conversation_id,
            occurred_at: row.occurred_at.into(),
            input_tokens: tokens(row.input_tokens),
            output_tokens: tokens(row.output_tokens),
        })
    }
}

const COMPARE: &str = "with served as materialized (
             select s.*, exists (select from claim where id = s.message) as has_arrived
             from unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[],
                     $8::bigint[], $9::uuid[])
                 s (message_id, user_id, conversation_id, occurred_at, input_tokens, output_tokens, message)
         ), missing as (
             insert into missing_message (namespace_id, message_id, api_key_id, user_id,
                 conversation_id, occurred_at, input_tokens, output_tokens, message)
             select $1, message_id, $2, user_id, conversation_id, occurred_at, input_tokens,
                 output_tokens, message
             from served where not has_arrived
             on conflict (namespace_id, message_id) do update
                 set input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens
         )
         insert into completeness_day (api_key_id, day, served, arrived)
         select $2, (occurred_at at time zone 'utc')::date as day, count(*),
             count(*) filter (where has_arrived)
         from served group by day
         on conflict (api_key_id, day) do update
             set served = excluded.served, arrived = excluded.arrived";

fn column<'a, T>(served: &[&'a ServedMessage], value: impl Fn(&'a ServedMessage) -> T) -> Vec<T> {
    served.iter().map(|it| value(it)).collect()
}

fn stored(count: Option<u64>) -> Option<i64> {
    count.and_then(|count| i64::try_from(count).ok())
}

/// Enters what of the served messages is missing, and counts them for each day (UTC). Each message is
/// there once.
pub(crate) async fn compare(
    executor: impl PgExecutor<'_>,
    source: &ApiKey,
    served: &[&ServedMessage],
) -> Result<()> {
    sqlx::query(COMPARE)
        .bind(source.namespace_id)
        .bind(source.id)
        .bind(column(served, |it| it.message_id.as_str()))
        .bind(column(served, |it| it.user_id.as_str()))
        .bind(column(served, |it| it.conversation_id.as_deref()))
        .bind(column(served, |it| it.occurred_at.moment()))
        .bind(column(served, |it| stored(it.input_tokens)))
        .bind(column(served, |it| stored(it.output_tokens)))
        .bind(column(served, |it| {
            MessageId::new(source.namespace_id, &it.message_id).0
        }))
        .execute(executor)
        .await?;
    Ok(())
}

/// What of a source's messages is still missing, newest first.
pub(crate) async fn of_source(
    executor: impl PgExecutor<'_>,
    source: Uuid,
) -> Result<Vec<ServedMessage>> {
    let rows: Vec<MissingRow> = sqlx::query_as(concat!(
        "select s.* from missing_message s where s.api_key_id = $1 and ",
        is_missing!(),
        " order by s.occurred_at desc, s.message_id limit $2",
    ))
    .bind(source)
    .bind(MISSING_MAX)
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(ServedMessage::try_from).collect()
}
