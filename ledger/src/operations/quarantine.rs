//! Reports that could not be charged yet, and their release.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::api::{
    Page, QuarantineDetail, QuarantineItem, QuarantineReason, QuarantineStatus, WebhookAnswer,
};
use shared::ids::ModelName;
use shared::usage::MessageUsage;
use uuid::Uuid;

use crate::charging::delivery::{Delivery, Resolution};
use crate::charging::queue::DeliveryRefusal;
use crate::error::{Attempt, Error, OperationError, Result, refusal};
use crate::operations::account::{ReasonFault, checked_reason};
use crate::operations::ledger::Ledger;
use crate::posting::accounts;
use crate::records::actor::Actor;
use crate::records::api_key::ApiKey;
use crate::records::entrance::Entrance;
use crate::records::hash::account_id;
use crate::records::page::{self, UnknownCursor};
use crate::store::quarantine::QuarantineRow;
use crate::store::{audit_log, hold, quarantine};

/// Waiting messages charged together when their price arrives.
const RELEASE_MESSAGES_MAX: i64 = 500;

/// Nothing waits under this id, or nothing ever did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotInQuarantine;

refusal!(NotInQuarantine);

/// Why a waiting message was not given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DismissRefusal {
    Reason(ReasonFault),
    Id(NotInQuarantine),
}

refusal!(DismissRefusal, Reason(ReasonFault), Id(NotInQuarantine));

/// Why a waiting message was not charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineRefusal {
    Id(NotInQuarantine),
    /// The numbers are those of another message than the one that waits.
    OtherMessage {
        waiting: String,
    },
    /// What it used could not be read, and is not given either.
    UsageUnknown,
    Delivery(DeliveryRefusal),
}

refusal!(
    QuarantineRefusal,
    Id(NotInQuarantine),
    Delivery(DeliveryRefusal)
);

impl Ledger {
    /// Delivers again what waits for a price of this model, at the price in force when each
    /// message happened.
    pub(crate) async fn release_waiting(&self, job: Uuid, model: &ModelName) -> Result<()> {
        let key = model.key();
        let total = quarantine::unpriced_count(self.pool(), &key).await?;
        let total = u64::try_from(total).unwrap_or(0);
        let mut done = 0;
        let mut after = Uuid::nil();
        loop {
            let rows = quarantine::unpriced(self.pool(), &key, after, RELEASE_MESSAGES_MAX).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = last.quarantine_id;
            let deliveries = rows.into_iter().filter_map(|row| {
                let report = row.report.clone()?.0;
                Some(row.delivery(report, None, false))
            });
            let deliveries = deliveries.collect::<Result<Vec<_>>>()?;
            let answers = deliveries
                .into_iter()
                .map(|delivery| self.deliver(delivery));
            for answer in futures::future::join_all(answers).await {
                match answer {
                    // Somebody else resolved it, or it was charged with other numbers: it is not
                    // in the way of the others.
                    Ok(_)
                    | Err(OperationError::Refused(
                        DeliveryRefusal::ResolvedAlready | DeliveryRefusal::Conflict { .. },
                    )) => done += 1,
                    Err(OperationError::Failed(error)) => return Err(error),
                }
            }
            self.job_progress(job, done, total.max(done)).await?;
        }
    }

    /// Gives up a waiting message: it is never charged from here, and the points that it held are
    /// free. A redelivery is judged anew.
    ///
    /// # Errors
    /// Nothing waits under this id, or nobody can read the reason.
    pub async fn dismiss_quarantined(
        &self,
        id: Uuid,
        reason: &str,
        actor: &Actor,
    ) -> Attempt<(), DismissRefusal> {
        let reason = checked_reason(reason)?;
        let row = quarantine::one(self.pool(), id)
            .await?
            .ok_or(NotInQuarantine)?;
        let mut tx = self.pool().begin_with(accounts::BEGIN).await?;
        if let (Some(hold_id), Some(report)) = (row.hold_id, &row.report) {
            let account_id = account_id(&report.user_id);
            if let Some(mut accounts) = accounts::lock(&mut tx, [account_id]).await?
                && let Some(held) = hold::one(&mut *tx, account_id, hold_id).await?
                && held.status()? == shared::api::HoldStatus::Open
            {
                accounts.get_mut(account_id)?.unhold(held.amount_nano)?;
                hold::release(&mut tx, account_id, hold_id, accounts.now()).await?;
                accounts.write(&mut tx).await?;
            }
        }
        if !quarantine::dismiss(&mut tx, id, &actor.name, reason).await? {
            return Err(NotInQuarantine.into());
        }
        let subject = row.report.as_ref().map(|report| report.message_id.clone());
        let subject = subject.unwrap_or_else(|| id.to_string());
        audit_log::record(
            &mut tx,
            actor,
            "quarantine.dismiss",
            &subject,
            audit_log::NOTHING,
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
    /// Nothing waits under this id; the body could not be read and no usage is given; the numbers are
    /// those of another message; otherwise as [`Ledger::deliver`].
    pub async fn charge_quarantined(
        &self,
        id: Uuid,
        corrected: Option<MessageUsage>,
        actor: &Actor,
    ) -> Attempt<WebhookAnswer, QuarantineRefusal> {
        let row = quarantine::one(self.pool(), id).await?;
        let row = row
            .filter(QuarantineRow::is_waiting)
            .ok_or(NotInQuarantine)?;
        let reported = row.report.clone().map(|report| report.0);
        if let (Some(corrected), Some(reported)) = (&corrected, &reported)
            && corrected.message_id != reported.message_id
        {
            // Under another identity the message could be charged a second time.
            let waiting = reported.message_id.clone();
            return Err(QuarantineRefusal::OtherMessage { waiting }.into());
        }
        let is_corrected = corrected.is_some();
        let usage = match (corrected, &reported) {
            (Some(corrected), Some(reported)) => completed(corrected, reported),
            (Some(corrected), None) => corrected,
            (None, Some(reported)) => reported.clone(),
            (None, None) => return Err(QuarantineRefusal::UsageUnknown.into()),
        };
        let by = Some((actor.clone(), reported));
        let charged = self.deliver(row.delivery(usage, by, is_corrected)?).await;
        charged.map_err(OperationError::widen)
    }

    /// What waits, newest first.
    ///
    /// # Errors
    /// [`UnknownCursor`].
    pub async fn quarantine(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Attempt<Page<QuarantineItem>, UnknownCursor> {
        self.quarantine_for(None, cursor, limit).await
    }

    /// As [`Ledger::quarantine`], only what waits for one reason.
    ///
    /// # Errors
    /// [`UnknownCursor`].
    pub async fn quarantine_for(
        &self,
        reason: Option<QuarantineReason>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Attempt<Page<QuarantineItem>, UnknownCursor> {
        let before = page::cursor::<Uuid>(cursor)?.unwrap_or(Uuid::max());
        let reason = reason.map(QuarantineReason::as_str);
        let rows = quarantine::page(self.pool(), before, reason, i64::from(limit) + 1).await?;
        Ok(page::build(rows, limit, |row| {
            let item = row.item()?;
            Ok((item.id.clone(), item))
        })?)
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn waiting_count(&self) -> Result<u64> {
        let count = quarantine::waiting_count(self.pool()).await?;
        u64::try_from(count).map_err(|_| Error::corrupt("a negative count"))
    }

    /// One message that waits or has waited.
    ///
    /// # Errors
    /// [`NotInQuarantine`].
    pub async fn quarantined(&self, id: Uuid) -> Attempt<QuarantineDetail, NotInQuarantine> {
        let row = quarantine::one(self.pool(), id)
            .await?
            .ok_or(NotInQuarantine)?;
        let mut all = QuarantineStatus::ALL.into_iter();
        let status = all.find(|status| status.as_str() == row.status);
        Ok(QuarantineDetail {
            item: row.item()?,
            status: status
                .ok_or_else(|| Error::corrupt(format!("quarantine status {}", row.status)))?,
            resolved_at: row.resolved_at.map(Into::into),
            body_base64: std::str::from_utf8(&row.body)
                .is_err()
                .then(|| STANDARD.encode(&row.body)),
            resolved_by: row.resolved_by,
            resolution: row.resolution,
            usage: row.report.map(|report| report.0),
        })
    }
}

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

impl QuarantineRow {
    fn is_waiting(&self) -> bool {
        self.status == QuarantineStatus::Waiting.as_str()
    }

    fn item(&self) -> Result<QuarantineItem> {
        let report = self.report.as_ref();
        let mut reasons = QuarantineReason::ALL.into_iter();
        let reason = reasons.find(|reason| reason.as_str() == self.reason);
        let calls = report.iter().flat_map(|report| &report.calls);
        Ok(QuarantineItem {
            id: self.quarantine_id.to_string(),
            received_at: self.received_at.into(),
            reason: reason
                .ok_or_else(|| Error::corrupt(format!("quarantine reason {}", self.reason)))?,
            source: self.name.clone(),
            tokens: report.map_or(0, |report| report.total_tokens()),
            message_id: report.map(|report| report.message_id.clone()),
            user_id: report.map(|report| report.user_id.clone()),
            model_names: calls.map(|call| call.model_name.clone()).collect(),
            body: String::from_utf8_lossy(&self.body).into_owned(),
        })
    }

    /// A waiting row as the delivery it was.
    fn delivery(
        self,
        message: MessageUsage,
        by: Option<(Actor, Option<MessageUsage>)>,
        is_corrected: bool,
    ) -> Result<Delivery> {
        let source = ApiKey::recorded(self.api_key_id, self.namespace_id, self.name);
        let entrance = Entrance::stored(&self.entrance)?;
        let received_at = self.received_at.into();
        Ok(Delivery {
            continues: self.continues,
            hold_id: self.hold_id,
            resolves: Some(Resolution {
                quarantine_id: self.quarantine_id,
                by,
                is_corrected,
            }),
            ..Delivery::new(Arc::new(source), entrance, message, self.body, received_at)
        })
    }
}
