//! What the tables of charges, deliveries and quarantine say about use in the past.

use shared::clock::Timestamp;
use shared::ids::{ModelName, UserId};
use shared::tokens::Tokens;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::api_key::ApiKey;
use crate::records::entry::EntryLine;

/// Messages averaged at most, and rows looked through to find them.
const SAMPLE_MESSAGES: i64 = 20;
const USER_ROWS_MAX: i64 = 200;
const DELIVERY_ROWS_MAX: i64 = 1000;

/// What recent messages of a source cost on average, rounded up.
pub(crate) struct UsualChargeRow {
    pub own_nano: Option<i64>,
    pub any_user_nano: Option<i64>,
}

fn flat(lines: Vec<Json<Vec<EntryLine>>>) -> impl Iterator<Item = EntryLine> {
    lines.into_iter().flat_map(|Json(lines)| lines)
}

/// The calls of a model in an account's recent messages, newest first.
pub(crate) async fn recent_of_account(
    executor: impl PgExecutor<'_>,
    account_id: Uuid,
    model: &ModelName,
) -> Result<Vec<Tokens>> {
    let key = model.key();
    let lines = sqlx::query_scalar(
        "select lines from (
             select entry, lines from journal_entry where account_id = $1 and kind = 'charge'
             order by entry desc limit $2
         ) recent
         where exists (select from jsonb_array_elements(lines) l where lower(l ->> 'model') = $3)
         order by entry desc limit $4",
    )
    .bind(account_id)
    .bind(USER_ROWS_MAX)
    .bind(&key)
    .bind(SAMPLE_MESSAGES)
    .fetch_all(executor)
    .await?;
    let of_model = flat(lines).filter(|line| line.model_name.key() == key);
    Ok(of_model.map(|line| line.tokens).collect())
}

/// Recent messages with a model, of all users.
pub(crate) async fn recent_of_model(
    executor: impl PgExecutor<'_>,
    model: &ModelName,
) -> Result<Vec<Tokens>> {
    let key = model.key();
    let lines = sqlx::query_scalar(
        "select lines from (
             select lines, tx from journal_entry where kind = 'charge' order by tx desc limit $1
         ) recent
         where exists (select from jsonb_array_elements(lines) l where lower(l ->> 'model') = $2)
         limit $3",
    )
    .bind(DELIVERY_ROWS_MAX)
    .bind(&key)
    .bind(SAMPLE_MESSAGES)
    .fetch_all(executor)
    .await?;
    let of_model = flat(lines).filter(|line| line.model_name.key() == key);
    Ok(of_model.map(|line| line.tokens).collect())
}

/// The calls of recent messages of a source, of one account or of all, without what was only estimated.
pub(crate) async fn recently_measured(
    executor: impl PgExecutor<'_>,
    source: &ApiKey,
    account_id: Option<Uuid>,
) -> Result<Vec<Tokens>> {
    let lines = sqlx::query_scalar(
        "select lines from (
             select account_id, lines from journal_entry
             where api_key_id = $1 and kind = 'charge' and amount_nano < 0 order by tx desc limit $2
         ) recent
         where ($3::uuid is null or account_id = $3)
             and not lines @@ '$[*].by == \"estimated\" || $[*].by == \"summed\"' limit $4",
    )
    .bind(source.id)
    .bind(DELIVERY_ROWS_MAX)
    .bind(account_id)
    .bind(SAMPLE_MESSAGES)
    .fetch_all(executor)
    .await?;
    Ok(flat(lines).map(|line| line.tokens).collect())
}

/// What recent messages of a source cost an account, and everybody.
pub(crate) async fn usual_charge(
    executor: impl PgExecutor<'_>,
    source: &ApiKey,
    account_id: Uuid,
) -> Result<UsualChargeRow> {
    Ok(sqlx::query_as!(
        UsualChargeRow,
        "with recent as (
             select account_id, -amount_nano as charge_nano from journal_entry
             where api_key_id = $1 and kind = 'charge' and amount_nano < 0 order by tx desc limit $2
         )
         select (select ceil(avg(charge_nano))::bigint from (
                    select charge_nano from recent where account_id = $3 limit $4) own) as own_nano,
                (select ceil(avg(charge_nano))::bigint from (
                    select charge_nano from recent limit $4) any_user) as any_user_nano",
        source.id,
        DELIVERY_ROWS_MAX,
        account_id,
        SAMPLE_MESSAGES
    )
    .fetch_one(executor)
    .await?)
}

/// The users whose messages a source has reported since then.
pub(crate) async fn users_of_source(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    since: Timestamp,
) -> Result<Vec<UserId>> {
    let users: Vec<String> = sqlx::query_scalar!(
        r#"select user_id as "user_id!" from delivery
         where api_key_id = $1 and user_id is not null and recorded_at >= $2
         union
         select a.user_id from journal_entry j join account a using (account_id)
         where j.api_key_id = $1 and j.recorded_at >= $2
         order by 1"#,
        source,
        since.moment()
    )
    .fetch_all(executor)
    .await?;
    let users = users.into_iter().map(|user| user.parse());
    users
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Error::corrupt("a user's name"))
}
