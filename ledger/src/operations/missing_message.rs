//! Messages that Dify served and nobody reported, charged after an administrator's review.

use std::sync::Arc;

use futures::future::join_all;
use shared::api::{ServedMessage, WebhookAnswer};
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::usage::{Evidence, MessageUsage, ModelCall};
use time::OffsetDateTime;

use crate::charging::delivery::Delivery;
use crate::charging::queue::DeliveryRefusal;
use crate::error::{Attempt, OperationError, refusal};
use crate::operations::ledger::Ledger;
use crate::records::actor::Actor;
use crate::records::api_key::ApiKey;
use crate::records::entrance::Entrance;
use crate::store::missing_message;

/// Neither the request nor the source names the model to charge for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoModelNamed;

refusal!(NoModelNamed);

/// Why a missing message was not charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingRefusal {
    /// Dify does not tell what it used.
    TokensUnknown,
    Delivery(DeliveryRefusal),
}

refusal!(MissingRefusal, Delivery(DeliveryRefusal));

/// What became of a missing message.
#[derive(Debug)]
pub struct ReviewedCharge {
    pub message_id: String,
    pub charged: Attempt<WebhookAnswer, MissingRefusal>,
}

impl Ledger {
    /// Charges what is missing, after an administrator's review: all of it, or only some messages.
    /// The model is the given one, or the source's own; what arrives later and tells more takes its
    /// place.
    ///
    /// Each message is audited in the transaction that charges it or puts it into quarantine. A
    /// review that was interrupted is done again: what it has charged is missing no longer.
    ///
    /// # Errors
    /// [`NoModelNamed`]; what stands in the way of one message is told with it.
    pub async fn charge_missing(
        &self,
        source: &Arc<ApiKey>,
        only: Option<&[String]>,
        model_name: Option<ModelName>,
        actor: &Actor,
    ) -> Attempt<Vec<ReviewedCharge>, NoModelNamed> {
        let model_name = model_name
            .or_else(|| source.settings.model_name.clone())
            .ok_or(NoModelNamed)?;
        let mut missing = missing_message::of_source(self.pool(), source.id).await?;
        missing.retain(|message| only.is_none_or(|only| only.contains(&message.message_id)));
        let charged = missing.into_iter().map(async |message| {
            let message_id = message.message_id.clone();
            let charged = self.charge_served(source, message, &model_name, actor);
            ReviewedCharge {
                message_id,
                charged: charged.await,
            }
        });
        Ok(join_all(charged).await)
    }

    async fn charge_served(
        &self,
        source: &Arc<ApiKey>,
        served: ServedMessage,
        model_name: &ModelName,
        actor: &Actor,
    ) -> Attempt<WebhookAnswer, MissingRefusal> {
        let body = serde_json::to_vec(&served).unwrap_or_default();
        let usage = usage_of(served, model_name)?;
        let now = Timestamp::new(OffsetDateTime::now_utc());
        let reviewed = Delivery {
            reviewed_by: Some(actor.clone()),
            ..Delivery::new(Arc::clone(source), Entrance::Review, usage, body, now)
        };
        self.deliver(reviewed).await.map_err(OperationError::widen)
    }
}

/// What a served message used, all by one model.
fn usage_of(served: ServedMessage, model_name: &ModelName) -> Result<MessageUsage, MissingRefusal> {
    let Some(tokens) = served.tokens() else {
        return Err(MissingRefusal::TokensUnknown);
    };
    Ok(MessageUsage {
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
            evidence: None,
        }],
        reported_total: None,
        has_answer: false,
        evidence: match served.output_tokens {
            Some(_) => Evidence::ModelAssumed,
            None => Evidence::Summed,
        },
        assumed_model: None,
    })
}
