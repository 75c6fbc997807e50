//! Deliveries: reports are taken in; what cannot be read is kept.

use sha2::{Digest, Sha256};
use shared::api::{Outcome, QuarantineReason, WebhookAnswer};
use shared::clock::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::charging::delivery::Delivery;
use crate::charging::queue::DeliveryRefusal;
use crate::error::{Attempt, Result};
use crate::operations::ledger::Ledger;
use crate::records::api_key::ApiKey;
use crate::records::entrance::Entrance;
use crate::store::quarantine::{NewUnread, insert_unread};
use crate::store::rows::NewDelivery;
use crate::store::write::{self, Rows};

/// A body that was refused, as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Rejection<'a> {
    pub entrance: Entrance,
    pub body: &'a [u8],
    pub received_at: Timestamp,
    /// The code that its sender was answered.
    pub code: &'static str,
    /// Somebody may have used tokens that the body fails to tell, so that it waits for an
    /// administrator.
    pub hides_usage: bool,
}

/// A body that does not tell a message.
struct Unread<'a> {
    source: &'a ApiKey,
    entrance: Entrance,
    body: &'a [u8],
    received_at: OffsetDateTime,
    outcome: Outcome,
    reason: &'static str,
    quarantined: Option<QuarantineReason>,
}

impl Ledger {
    /// Takes a message in: charges it once, or keeps it in quarantine. It is on its way when this
    /// returns; what is returned waits for the commit that contains it.
    ///
    /// # Errors
    /// The message was delivered before with other numbers (recorded); [`crate::Error::Busy`] when the
    /// queue is full or Postgres is away (nothing recorded: deliver it again).
    pub fn deliver(
        &self,
        delivery: Delivery,
    ) -> impl Future<Output = Attempt<WebhookAnswer, DeliveryRefusal>> + use<> {
        self.inner.queue.submit(delivery)
    }

    /// Keeps an authenticated delivery whose body was refused, so that an administrator can see it.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn reject(&self, source: &ApiKey, rejection: Rejection<'_>) -> Result<()> {
        let hides_usage = rejection.hides_usage;
        self.keep_unread(&Unread {
            source,
            entrance: rejection.entrance,
            body: rejection.body,
            received_at: rejection.received_at.moment(),
            outcome: Outcome::Rejected,
            reason: rejection.code,
            quarantined: hides_usage.then_some(QuarantineReason::Unreadable),
        })
        .await
    }

    /// Keeps the parts of a trace that tell of tokens and make no message.
    pub(crate) async fn keep_incomplete(
        &self,
        source: &ApiKey,
        body: &[u8],
        received_at: Timestamp,
    ) -> Result<()> {
        let reason = QuarantineReason::IncompleteTrace;
        self.keep_unread(&Unread {
            source,
            entrance: Entrance::Langfuse,
            body,
            received_at: received_at.moment(),
            outcome: Outcome::Quarantined,
            reason: reason.as_str(),
            quarantined: Some(reason),
        })
        .await
    }

    async fn keep_unread(&self, unread: &Unread<'_>) -> Result<()> {
        let mut tx = self.pool().begin().await?;
        let rows = Rows {
            deliveries: vec![unread.row()],
            ..Rows::default()
        };
        write::write(&mut tx, unread.received_at, &rows).await?;
        if let Some(reason) = unread.quarantined {
            let row = NewUnread {
                quarantine_id: Uuid::now_v7(),
                namespace_id: unread.source.namespace_id,
                api_key_id: unread.source.id,
                entrance: unread.entrance.as_str(),
                received_at: unread.received_at,
                reason: reason.as_str(),
                body: unread.body,
                body_digest: Sha256::digest(unread.body).into(),
            };
            insert_unread(&mut tx, &row).await?;
        }
        tx.commit().await?;
        self.inner.feed.committed();
        Ok(())
    }
}

impl<'a> Unread<'a> {
    fn row(&self) -> NewDelivery<'a> {
        NewDelivery {
            received_at: self.received_at,
            api_key_id: self.source.id,
            entrance: self.entrance.as_str(),
            outcome: self.outcome.as_str(),
            reason: Some(self.reason),
            message_id: None,
            message: None,
            user_id: None,
            model_names: Vec::new(),
            input_tokens: 0,
            output_tokens: 0,
            charge_nano: None,
            balance_after_nano: None,
            body: Some(self.body),
        }
    }
}
