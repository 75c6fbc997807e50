//! Messages that could not be charged yet, and their release.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use shared::api::{
    Page, QuarantineDetail, QuarantineItem, QuarantineReason, QuarantineStatus, WebhookAnswer,
};
use shared::dify::MessageUsage;
use shared::ids::ModelName;
use shared::problem::{FieldFault, Problem};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::accounts::checked_reason;
use crate::audit::{self, Actor};
use crate::chain::Hash;
use crate::consumption::{self, Resolution};
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
    row_id: &str,
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
             entrance, received_at, reason, model_keys, usage, body, continues)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
         -- A further report of the same message waits once.
         where $3 = $13 or not exists (
             select from quarantine q where q.namespace_id = $2 and q.message_id = $3
                 and q.status = 'waiting')",
    )
    .bind(Uuid::now_v7())
    .bind(delivery.source.namespace_id)
    .bind(row_id)
    .bind(fingerprint.as_slice())
    .bind(delivery.source.id)
    .bind(delivery.entrance.as_str())
    .bind(delivery.received_at.moment())
    .bind(reason.as_str())
    .bind(model_keys)
    .bind(Json(&delivery.message))
    .bind(&delivery.body)
    .bind(delivery.continues)
    .bind(&delivery.message.message_id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps a body that does not tell a message, for a reason that goes without one. The same body
/// twice waits once.
pub(crate) async fn insert_untold(
    tx: &mut PgConnection,
    source: &ApiKey,
    entrance: Entrance,
    reason: QuarantineReason,
    body: &[u8],
    received_at: OffsetDateTime,
) -> Result<()> {
    let fingerprint: Hash = Sha256::digest(body).into();
    sqlx::query(
        "insert into quarantine (quarantine_id, namespace_id, message_id, fingerprint, api_key_id,
             entrance, received_at, reason, model_keys, usage, body)
         values ($1, $2, $8 || ' ' || encode($3, 'hex'), $3, $4, $5, $6, $8, '{}', null, $7)
         on conflict do nothing",
    )
    .bind(Uuid::now_v7())
    .bind(source.namespace_id)
    .bind(fingerprint.as_slice())
    .bind(source.id)
    .bind(entrance.as_str())
    .bind(received_at)
    .bind(body)
    .bind(reason.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks those of the rows that wait.
pub(crate) async fn lock_waiting(tx: &mut PgConnection, ids: &[Uuid]) -> Result<HashSet<Uuid>> {
    let waiting: Vec<Uuid> = sqlx::query_scalar(
        "select quarantine_id from quarantine where quarantine_id = any($1) and status = 'waiting'
         order by quarantine_id for update",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    Ok(waiting.into_iter().collect())
}

/// Marks a locked row whose message was charged in this transaction.
pub(crate) async fn mark_charged(
    tx: &mut PgConnection,
    quarantine_id: Uuid,
    actor: Option<&Actor>,
) -> Result<()> {
    sqlx::query(
        "update quarantine set status = 'charged', resolved_at = now(), resolved_by = $2
         where quarantine_id = $1",
    )
    .bind(quarantine_id)
    .bind(actor.map(|actor| &actor.name))
    .execute(tx)
    .await?;
    Ok(())
}

impl Ledger {
    /// Delivers again what waits for a price of this model, at the price in force when each
    /// message happened.
    pub(crate) async fn release_waiting(&self, job: Uuid, model: &ModelName) -> Result<()> {
        let total: i64 = sqlx::query_scalar(
            "select count(*) from quarantine where status = 'waiting' and $1 = any(model_keys)
                 and reason in ('unknown_model', 'inactive_price')",
        )
        .bind(model.key())
        .fetch_one(self.pool())
        .await?;
        let total = u64::try_from(total).unwrap_or(0);
        let mut done = 0;
        let mut after = Uuid::nil();
        loop {
            let rows = sqlx::query(
                "select q.*, k.name from quarantine q join api_key k using (api_key_id)
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
                return Ok(());
            };
            after = last.try_get("quarantine_id")?;
            let mut deliveries = Vec::with_capacity(rows.len());
            for row in &rows {
                if let Some(usage) = usage(row)? {
                    deliveries.push(waiting(row, usage, None)?);
                }
            }
            let answers = futures::future::join_all(
                deliveries
                    .into_iter()
                    .map(|delivery| self.deliver(delivery)),
            )
            .await;
            for answer in answers {
                match answer {
                    // Somebody else resolved it, or it was charged with other numbers: it is not
                    // in the way of the others.
                    Ok(_)
                    | Err(Error::Problem(Problem::NotFound | Problem::MessageConflict { .. })) => {
                        done += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
            self.job_progress(job, done, total.max(done)).await?;
        }
    }

    /// Gives up a waiting message: it is never charged from here. A redelivery is judged anew.
    ///
    /// # Errors
    /// `NotFound` when nothing waits under this id; a field problem for `reason`.
    pub async fn dismiss_quarantined(&self, id: Uuid, reason: &str, actor: &Actor) -> Result<()> {
        let reason = checked_reason(reason)?;
        let mut tx = self.pool().begin().await?;
        let message_id: String = sqlx::query_scalar(
            "update quarantine set status = 'dismissed', resolved_at = now(), resolved_by = $2,
                 resolution = $3
             where quarantine_id = $1 and status = 'waiting' returning message_id",
        )
        .bind(id)
        .bind(&actor.name)
        .bind(reason)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Problem::NotFound)?;
        audit::record(
            &mut tx,
            actor,
            "quarantine.dismiss",
            &message_id,
            audit::NOTHING,
            Some(&reason),
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Charges a waiting message with numbers that an administrator has put right; `None` charges
    /// it as it was reported.
    ///
    /// # Errors
    /// `NotFound` when nothing waits under this id; field problems for `usage` when the body could
    /// not be read and none is given, and for `message_id` when the numbers are those of another.
    pub async fn charge_quarantined(
        &self,
        id: Uuid,
        corrected: Option<MessageUsage>,
        actor: &Actor,
    ) -> Result<WebhookAnswer> {
        let row = sqlx::query(
            "select q.*, k.name from quarantine q join api_key k using (api_key_id)
             where q.quarantine_id = $1 and q.status = 'waiting'",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?
        .ok_or(Problem::NotFound)?;
        let reported = usage(&row)?;
        if let (Some(corrected), Some(reported)) = (&corrected, &reported)
            && corrected.message_id != reported.message_id
        {
            // Under another identity the message could be charged a second time.
            let allowed = reported.message_id.clone();
            return Err(Problem::field("message_id", FieldFault::NotOneOf { allowed }).into());
        }
        let usage = corrected
            .map(|corrected| match &reported {
                Some(reported) => completed(corrected, reported),
                None => corrected,
            })
            .or(reported.clone())
            .ok_or_else(|| Problem::field("usage", FieldFault::Missing))?;
        let by = Some((actor.clone(), reported));
        self.deliver(waiting(&row, usage, by)?).await
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
        self.quarantine_for(None, cursor, limit).await
    }

    /// As [`Ledger::quarantine`], only what waits for one reason.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `cursor`.
    pub async fn quarantine_for(
        &self,
        reason: Option<QuarantineReason>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<QuarantineItem>> {
        let before = page::cursor::<Uuid>(cursor)?.unwrap_or(Uuid::max());
        let rows = sqlx::query(
            "select q.*, k.name from quarantine q join api_key k using (api_key_id)
             where q.status = 'waiting' and q.quarantine_id < $1
                 and ($2::text is null or q.reason = $2)
             order by q.quarantine_id desc limit $3",
        )
        .bind(before)
        .bind(reason.map(QuarantineReason::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all(self.pool())
        .await?;
        page::build(&rows, limit, |row| {
            let item = item(row, usage(row)?)?;
            Ok((item.id.clone(), item))
        })
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn waiting_count(&self) -> Result<u64> {
        let count: i64 =
            sqlx::query_scalar("select count(*) from quarantine where status = 'waiting'")
                .fetch_one(self.pool())
                .await?;
        u64::try_from(count).map_err(|_| Error::corrupt("a negative count"))
    }

    /// One message that waits or has waited.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn quarantined(&self, id: Uuid) -> Result<QuarantineDetail> {
        let row = sqlx::query(
            "select q.*, k.name from quarantine q join api_key k using (api_key_id)
             where q.quarantine_id = $1",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?
        .ok_or(Problem::NotFound)?;
        let status: &str = row.try_get("status")?;
        let body: &[u8] = row.try_get("body")?;
        let usage = usage(&row)?;
        Ok(QuarantineDetail {
            item: item(&row, usage.clone())?,
            status: QuarantineStatus::ALL
                .into_iter()
                .find(|known| known.as_str() == status)
                .ok_or_else(|| Error::corrupt(format!("quarantine status {status}")))?,
            resolved_at: row
                .try_get::<Option<OffsetDateTime>, _>("resolved_at")?
                .map(Into::into),
            resolved_by: row.try_get("resolved_by")?,
            resolution: row.try_get("resolution")?,
            usage,
            body_base64: std::str::from_utf8(body)
                .is_err()
                .then(|| STANDARD.encode(body)),
        })
    }
}

/// What was reported, when it could be read.
/// Whoever puts numbers right need not repeat the rest: without its other ids the message could be
/// charged a second time, and without its time at another price.
fn completed(corrected: MessageUsage, reported: &MessageUsage) -> MessageUsage {
    let ids = |message: &MessageUsage| -> Vec<String> {
        let calls = message.calls.iter().filter_map(|call| call.call_id.clone());
        message.also_known_as.iter().cloned().chain(calls).collect()
    };
    let known = ids(&corrected);
    let mut also_known_as = corrected.also_known_as;
    also_known_as.extend(ids(reported).into_iter().filter(|id| !known.contains(id)));
    MessageUsage {
        also_known_as,
        conversation_id: corrected
            .conversation_id
            .or_else(|| reported.conversation_id.clone()),
        request_id: corrected.request_id.or_else(|| reported.request_id.clone()),
        occurred_at: corrected.occurred_at.or(reported.occurred_at),
        ..corrected
    }
}

fn usage(row: &PgRow) -> Result<Option<MessageUsage>> {
    let usage = row.try_get::<Option<Json<MessageUsage>>, _>("usage")?;
    Ok(usage.map(|Json(usage)| usage))
}

fn item(row: &PgRow, usage: Option<MessageUsage>) -> Result<QuarantineItem> {
    Ok(QuarantineItem {
        id: row.try_get::<Uuid, _>("quarantine_id")?.to_string(),
        received_at: row.try_get::<OffsetDateTime, _>("received_at")?.into(),
        reason: reason(row.try_get("reason")?)?,
        source: row.try_get("name")?,
        tokens: usage.as_ref().map_or(0, MessageUsage::total_tokens),
        message_id: usage.as_ref().map(|usage| usage.message_id.clone()),
        user_id: usage.as_ref().map(|usage| usage.user_id.clone()),
        model_names: usage
            .into_iter()
            .flat_map(|usage| usage.calls)
            .map(|call| call.model_name)
            .collect(),
        body: String::from_utf8_lossy(row.try_get("body")?).into_owned(),
    })
}

/// A waiting row as the delivery it was.
fn waiting(
    row: &PgRow,
    message: MessageUsage,
    by: Option<(Actor, Option<MessageUsage>)>,
) -> Result<Delivery> {
    let source = ApiKey::recorded(
        row.try_get("api_key_id")?,
        row.try_get("namespace_id")?,
        row.try_get("name")?,
    );
    let entrance = consumption::entrance(row.try_get("entrance")?)?;
    Ok(Delivery {
        continues: row.try_get("continues")?,
        resolves: Some(Resolution {
            quarantine_id: row.try_get("quarantine_id")?,
            by,
        }),
        ..Delivery::new(
            Arc::new(source),
            entrance,
            message,
            row.try_get("body")?,
            row.try_get::<OffsetDateTime, _>("received_at")?.into(),
        )
    })
}
