//! What Dify says it served, beside what arrived: how complete a source's reports are, and what was
//! never reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shared::api::{Completeness, CompletenessDay, ReviewedMessage, ServedMessage, WebhookAnswer};
use shared::clock::Timestamp;
use shared::dify::{Evidence, MessageUsage, ModelCall};
use shared::ids::{ModelName, UserId};
use shared::problem::{FieldFault, Problem};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::Actor;
use crate::error::{Error, Result};
use crate::{ApiKey, Delivery, Entrance, Ledger};

/// Days told of, and messages shown or charged together.
const DAYS_MAX: i64 = 90;
const MISSING_MAX: i64 = 1000;

/// Of which rows `s` of `missing_message` nothing has arrived since they were looked for.
macro_rules! is_missing {
    () => {
        "not exists (select from message m where m.namespace_id = s.namespace_id
                 and m.message_id = s.message_id)
             and not exists (select from quarantine q where q.namespace_id = s.namespace_id
                 and q.message_id = s.message_id)"
    };
}

/// How complete the reports about a source's messages are, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletenessShare {
    /// In the days that are told of.
    pub served: u64,
    pub arrived: u64,
    /// Also of earlier days.
    pub missing: u64,
    /// Whether the last check did not come to its end.
    pub has_failed: bool,
}

impl Ledger {
    /// Whose messages a source has reported since then.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn users_of_source(&self, source: &ApiKey, since: Timestamp) -> Result<Vec<UserId>> {
        let users: Vec<String> = sqlx::query_scalar(
            "select distinct user_id from delivery
             where api_key_id = $1 and user_id is not null and received_at >= $2 order by user_id",
        )
        .bind(source.id)
        .bind(since.moment())
        .fetch_all(self.pool())
        .await?;
        let users = users.into_iter().map(|user| user.parse());
        users
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Error::corrupt("a user's name"))
    }

    /// Claims the check of a source that was not begun for so many seconds, for one process.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn begin_completeness_check(&self, source: Uuid, seconds: u32) -> Result<bool> {
        let begun = sqlx::query(
            "insert into completeness_check as known (api_key_id, begun_at) values ($1, now())
             on conflict (api_key_id) do update set begun_at = now()
                 where known.begun_at <= now() - make_interval(secs => $2)",
        )
        .bind(source)
        .bind(f64::from(seconds))
        .execute(self.pool())
        .await?;
        Ok(begun.rows_affected() == 1)
    }

    /// Notes why a check did not come to its end.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn completeness_check_failed(&self, source: Uuid, why: &str) -> Result<()> {
        sqlx::query("update completeness_check set error = $2 where api_key_id = $1")
            .bind(source)
            .bind(why)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Compares what Dify served with what arrived, for whole days (UTC). What waits in quarantine
    /// has arrived.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn compare_served(&self, source: &ApiKey, served: &[ServedMessage]) -> Result<()> {
        // Dify may list a message twice while it is changing; a statement may not.
        let served: BTreeMap<_, _> = served
            .iter()
            .map(|message| (message.message_id.as_str(), message))
            .collect();
        let column = served.values();
        let count = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
        let mut tx = self.pool().begin().await?;
        sqlx::query(
            "with served as materialized (
                 select s.*, exists (select from message m where m.namespace_id = $1
                         and m.message_id = s.message_id)
                     or exists (select from quarantine q where q.namespace_id = $1
                         and q.message_id = s.message_id) as has_arrived
                 from unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[],
                         $8::bigint[])
                     s (message_id, user_id, conversation_id, occurred_at, input_tokens, output_tokens)
             ), missing as (
                 insert into missing_message (namespace_id, message_id, api_key_id, user_id,
                     conversation_id, occurred_at, input_tokens, output_tokens)
                 select $1, message_id, $2, user_id, conversation_id, occurred_at, input_tokens,
                     output_tokens
                 from served where not has_arrived
                 on conflict (namespace_id, message_id) do update
                     set input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens
             )
             insert into completeness_day (api_key_id, day, served, arrived)
             select $2, (occurred_at at time zone 'utc')::date as day, count(*),
                 count(*) filter (where has_arrived)
             from served group by day
             on conflict (api_key_id, day) do update
                 set served = excluded.served, arrived = excluded.arrived",
        )
        .bind(source.namespace_id)
        .bind(source.id)
        .bind(served.keys().copied().collect::<Vec<_>>())
        .bind(column.clone().map(|it| it.user_id.as_str()).collect::<Vec<_>>())
        .bind(column.clone().map(|it| it.conversation_id.as_deref()).collect::<Vec<_>>())
        .bind(column.clone().map(|it| it.occurred_at.moment()).collect::<Vec<_>>())
        .bind(column.clone().map(|it| count(it.input_tokens)).collect::<Vec<_>>())
        .bind(column.map(|it| count(it.output_tokens)).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into completeness_check (api_key_id, begun_at, ended_at) values ($1, now(), now())
             on conflict (api_key_id) do update set ended_at = now(), error = null",
        )
        .bind(source.id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// What is known of a source's completeness.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn completeness(&self, source: &ApiKey) -> Result<Completeness> {
        let check = sqlx::query(
            "select begun_at, ended_at, error from completeness_check where api_key_id = $1",
        )
        .bind(source.id)
        .fetch_optional(self.pool())
        .await?;
        let time = |column| -> Result<Option<Timestamp>> {
            let Some(row) = &check else { return Ok(None) };
            let time = row.try_get::<Option<OffsetDateTime>, _>(column)?;
            Ok(time.map(Timestamp::from))
        };
        let error = match &check {
            Some(row) => row.try_get("error")?,
            None => None,
        };
        let days = sqlx::query(
            "select to_char(day, 'YYYY-MM-DD') as day, served, arrived from completeness_day
             where api_key_id = $1 order by completeness_day.day desc limit $2",
        )
        .bind(source.id)
        .bind(DAYS_MAX)
        .fetch_all(self.pool())
        .await?;
        Ok(Completeness {
            source: source.name.clone(),
            begun_at: time("begun_at")?,
            checked_at: time("ended_at")?,
            error,
            days: days.iter().map(day).collect::<Result<_>>()?,
            missing: self.missing(source).await?,
        })
    }

    /// What is known of the completeness of every source that was ever checked, by its id.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn completeness_shares(&self) -> Result<HashMap<Uuid, CompletenessShare>> {
        let rows = sqlx::query(concat!(
            "select c.api_key_id, c.error is not null as has_failed,
                 coalesce(told.served, 0)::bigint as served,
                 coalesce(told.arrived, 0)::bigint as arrived,
                 (select count(*) from missing_message s
                  where s.api_key_id = c.api_key_id and ",
            is_missing!(),
            ") as missing
             from completeness_check c
             cross join lateral (
                 select sum(served) as served, sum(arrived) as arrived
                 from (select served, arrived from completeness_day
                       where api_key_id = c.api_key_id order by day desc limit $1) days
             ) told",
        ))
        .bind(DAYS_MAX)
        .fetch_all(self.pool())
        .await?;
        let share = |row: &PgRow| -> Result<(Uuid, CompletenessShare)> {
            let share = CompletenessShare {
                served: count(row, "served")?,
                arrived: count(row, "arrived")?,
                missing: count(row, "missing")?,
                has_failed: row.try_get("has_failed")?,
            };
            Ok((row.try_get("api_key_id")?, share))
        };
        rows.iter().map(share).collect()
    }

    async fn missing(&self, source: &ApiKey) -> Result<Vec<ServedMessage>> {
        let rows = sqlx::query(concat!(
            "select s.* from missing_message s where s.api_key_id = $1 and ",
            is_missing!(),
            " order by s.occurred_at desc, s.message_id limit $2",
        ))
        .bind(source.id)
        .bind(MISSING_MAX)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(served).collect()
    }

    /// Charges what is missing, after an administrator's review: all of it, or only some messages.
    /// The model is the given one, or the source's own; what arrives later and tells more takes its
    /// place.
    ///
    /// Each message is audited in the transaction that charges it or puts it into quarantine. A
    /// review that was interrupted is done again: what it has charged is missing no longer.
    ///
    /// # Errors
    /// A missing field `modelName` when neither is there.
    pub async fn charge_missing(
        &self,
        source: &Arc<ApiKey>,
        only: Option<&[String]>,
        model_name: Option<ModelName>,
        actor: &Actor,
    ) -> Result<Vec<ReviewedMessage>> {
        let model_name = model_name
            .or_else(|| source.settings.model_name.clone())
            .ok_or_else(|| Problem::field("modelName", FieldFault::Missing))?;
        let mut missing = self.missing(source).await?;
        missing.retain(|message| only.is_none_or(|only| only.contains(&message.message_id)));
        let charged = missing.into_iter().map(async |message| {
            let message_id = message.message_id.clone();
            let answer = self.charge_served(source, message, &model_name, actor);
            match answer.await.map_err(|error| error.problem()) {
                Ok(answer) => ReviewedMessage {
                    message_id,
                    answer: Some(answer),
                    problem: None,
                },
                Err(problem) => ReviewedMessage {
                    message_id,
                    answer: None,
                    problem: Some(problem.code().to_owned()),
                },
            }
        });
        Ok(futures::future::join_all(charged).await)
    }

    async fn charge_served(
        &self,
        source: &Arc<ApiKey>,
        served: ServedMessage,
        model_name: &ModelName,
        actor: &Actor,
    ) -> Result<WebhookAnswer> {
        let Some(tokens) = served.tokens() else {
            return Err(Problem::field("inputTokens", FieldFault::Missing).into());
        };
        let body = serde_json::to_vec(&served).unwrap_or_default();
        let usage = MessageUsage {
            message_id: served.message_id,
            also_known_as: Vec::new(),
            user_id: served.user_id,
            conversation_id: served.conversation_id,
            request_id: None,
            occurred_at: Some(served.occurred_at),
            calls: vec![ModelCall {
                call_id: None,
                model_name: model_name.clone(),
                tokens,
            }],
            reported_total: None,
            has_answer: false,
            evidence: match served.output_tokens {
                Some(_) => Evidence::AssumedModel,
                None => Evidence::Estimated,
            },
        };
        let now = Timestamp::new(OffsetDateTime::now_utc());
        let reviewed = Delivery {
            reviewed_by: Some(actor.clone()),
            ..Delivery::new(Arc::clone(source), Entrance::Review, usage, body, now)
        };
        self.deliver(reviewed).await
    }
}

fn count(row: &PgRow, column: &str) -> Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::corrupt("a negative count"))
}

fn day(row: &PgRow) -> Result<CompletenessDay> {
    Ok(CompletenessDay {
        day: row.try_get("day")?,
        served: count(row, "served")?,
        arrived: count(row, "arrived")?,
    })
}

fn served(row: &PgRow) -> Result<ServedMessage> {
    let tokens = |column| -> Result<Option<u64>> {
        let tokens = row.try_get::<Option<i64>, _>(column)?;
        Ok(tokens.and_then(|tokens| tokens.try_into().ok()))
    };
    let user: String = row.try_get("user_id")?;
    Ok(ServedMessage {
        message_id: row.try_get("message_id")?,
        user_id: user.parse().map_err(|_| Error::corrupt("a user's name"))?,
        conversation_id: row.try_get("conversation_id")?,
        occurred_at: row.try_get::<OffsetDateTime, _>("occurred_at")?.into(),
        input_tokens: tokens("input_tokens")?,
        output_tokens: tokens("output_tokens")?,
    })
}
