//! Messages that could not be charged yet, and their release.

use std::sync::Arc;

use shared::api::{Page, QuarantineItem, QuarantineReason};
use shared::dify::MessageUsage;
use shared::ids::ModelName;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::Hash;
use crate::error::{Error, Result};
use crate::{ApiKey, Delivery, Entrance, Ledger, page};

/// Waiting messages charged together when their price arrives.
const RELEASE_MESSAGES_MAX: i64 = 500;

pub(crate) fn reason(text: &str) -> Result<QuarantineReason> {
    QuarantineReason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("quarantine reason {text}")))
}

pub(crate) async fn insert(
    tx: &mut PgConnection,
    delivery: &Delivery,
    fingerprint: &Hash,
    reason: QuarantineReason,
) -> Result<()> {
    let model_keys: Vec<_> = delivery
        .message
        .calls
        .iter()
        .map(|call| call.model_name.key())
        .collect();
    sqlx::query(
        "insert into quarantine (quarantine_id, namespace_id, message_id, fingerprint, api_key_id,
             entrance, received_at, reason, model_keys, usage, body)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(Uuid::now_v7())
    .bind(delivery.source.namespace_id)
    .bind(&delivery.message.message_id)
    .bind(fingerprint.as_slice())
    .bind(delivery.source.id)
    .bind(delivery.entrance.as_str())
    .bind(delivery.received_at.moment())
    .bind(reason.as_str())
    .bind(model_keys)
    .bind(Json(&delivery.message))
    .bind(&delivery.body)
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks rows whose message was charged in this transaction.
pub(crate) async fn resolve(tx: &mut PgConnection, quarantine_ids: &[Uuid]) -> Result<()> {
    if !quarantine_ids.is_empty() {
        sqlx::query(
            "update quarantine set status = 'charged', resolved_at = now()
             where quarantine_id = any($1)",
        )
        .bind(quarantine_ids)
        .execute(tx)
        .await?;
    }
    Ok(())
}

impl Ledger {
    /// Delivers again what waits for a price of this model, at the price in force when each
    /// message happened. Returns how many were charged.
    pub(crate) async fn release_waiting(&self, model: &ModelName) -> Result<u64> {
        let mut released = 0;
        let mut after = Uuid::nil();
        loop {
            let rows = sqlx::query(
                "select q.quarantine_id, q.namespace_id, q.api_key_id, k.name, q.received_at,
                        q.usage, q.body
                 from quarantine q join api_key k using (api_key_id)
                 where q.status = 'waiting' and q.reason in ('unknown_model', 'inactive_price')
                     and $1 = any(q.model_keys) and q.quarantine_id > $2
                 order by q.quarantine_id limit $3",
            )
            .bind(model.key())
            .bind(after)
            .bind(RELEASE_MESSAGES_MAX)
            .fetch_all(self.pool())
            .await?;
            let Some(last) = rows.last() else {
                return Ok(released);
            };
            after = last.try_get("quarantine_id")?;
            let deliveries = rows.iter().map(waiting).collect::<Result<Vec<_>>>()?;
            let answers = futures::future::join_all(
                deliveries
                    .into_iter()
                    .map(|delivery| self.deliver(delivery)),
            )
            .await;
            for answer in answers {
                if answer?.consumption_id.is_some() {
                    released += 1;
                }
            }
        }
    }

    /// What waits, newest first.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `cursor`.
    pub async fn quarantine(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<QuarantineItem>> {
        let before = page::cursor::<Uuid>(cursor)?.unwrap_or(Uuid::max());
        let rows = sqlx::query(
            "select q.quarantine_id, q.received_at, q.reason, k.name, q.usage
             from quarantine q join api_key k using (api_key_id)
             where q.status = 'waiting' and q.quarantine_id < $1
             order by q.quarantine_id desc limit $2",
        )
        .bind(before)
        .bind(i64::from(limit) + 1)
        .fetch_all(self.pool())
        .await?;
        page::build(&rows, limit, |row| {
            let id: Uuid = row.try_get("quarantine_id")?;
            let Json(usage): Json<MessageUsage> = row.try_get("usage")?;
            let item = QuarantineItem {
                id: id.to_string(),
                received_at: row.try_get::<OffsetDateTime, _>("received_at")?.into(),
                reason: reason(row.try_get("reason")?)?,
                source: row.try_get("name")?,
                tokens: usage.total_tokens(),
                message_id: usage.message_id,
                user_id: usage.user_id,
                model_names: usage
                    .calls
                    .into_iter()
                    .map(|call| call.model_name)
                    .collect(),
            };
            Ok((id.to_string(), item))
        })
    }
}

fn waiting(row: &PgRow) -> Result<Delivery> {
    let Json(message): Json<MessageUsage> = row.try_get("usage")?;
    Ok(Delivery {
        source: Arc::new(ApiKey::recorded(
            row.try_get("api_key_id")?,
            row.try_get("namespace_id")?,
            row.try_get("name")?,
        )),
        entrance: Entrance::Webhook,
        message,
        body: row.try_get("body")?,
        received_at: row.try_get::<OffsetDateTime, _>("received_at")?.into(),
    })
}
