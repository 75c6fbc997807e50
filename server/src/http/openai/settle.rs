//! The end of a call that was let through: charged by what it used, or let go.

use std::sync::Arc;
use std::time::Duration;

use ledger::{ApiKey, Delivery, Entrance, Ledger};
use serde_json::json;
use shared::clock::Timestamp;
use shared::dify::{Evidence, MessageUsage, ModelCall};
use shared::ids::{UserId, checked_id};
use shared::openai::{CallRequest, Seen, Usage};
use shared::problem::Problem;
use shared::tokens::Tokens;
use time::OffsetDateTime;
use uuid::Uuid;

/// Attempts to enter a charge when the books do not answer; the last one comes after a minute.
const ATTEMPTS_MAX: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// A call that was let through.
pub struct Call {
    pub ledger: Ledger,
    pub key: Arc<ApiKey>,
    pub user: UserId,
    pub request: CallRequest,
    pub hold_id: Option<String>,
    pub began_at: Timestamp,
}

impl Call {
    /// Frees what was held: nothing was used.
    pub async fn release(&self) {
        let Some(hold_id) = &self.hold_id else {
            return;
        };
        if let Err(error) = self.ledger.release_hold(&self.user, hold_id).await {
            // It runs out by itself.
            tracing::warn!(hold_id, %error, "hold {hold_id} could not be released");
        }
    }

    /// Charges what was used. `is_complete`: the answer came to its end.
    ///
    /// Returns once it is in the books, or has failed too often.
    pub async fn settle(self: Arc<Self>, seen: &Seen, is_complete: bool) {
        // What these calls use is charged where the whole message is reported.
        if self.key.settings.is_protecting_only {
            return;
        }
        let Some(message) = self.message(seen, is_complete) else {
            self.release().await;
            return;
        };
        if self.deliver(&message).await {
            return;
        }
        // Who waits for the answer need not wait for the books any longer; the attempts go on.
        tokio::spawn(async move { self.insist(&message).await });
    }

    async fn insist(&self, message: &MessageUsage) {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS_MAX {
            tokio::time::sleep(pause).await;
            if self.deliver(message).await {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        let id = &message.message_id;
        tracing::error!(
            message_id = id,
            user = %self.user,
            model = %self.request.model_name,
            tokens = message.total_tokens(),
            "call {id} could not be charged"
        );
    }

    /// Whether it is decided: charged, or refused for good.
    async fn deliver(&self, message: &MessageUsage) -> bool {
        let body = json!({ "model": self.request.model_name, "usage": message }).to_string();
        let delivery = Delivery::new(
            Arc::clone(&self.key),
            Entrance::Openai,
            message.clone(),
            body.into_bytes(),
            Timestamp::new(OffsetDateTime::now_utc()),
        );
        let delivered = match &self.hold_id {
            Some(hold_id) => self.ledger.settle_hold(hold_id, delivery).await,
            None => self.ledger.deliver(delivery).await,
        };
        let Err(error) = delivered else {
            return true;
        };
        let id = &message.message_id;
        if matches!(error.problem(), Problem::Busy { .. } | Problem::Internal) {
            tracing::warn!(message_id = id, %error, "call {id} is not charged yet: {error}");
            return false;
        }
        tracing::error!(message_id = id, %error, "call {id} was refused by the books: {error}");
        true
    }

    /// What to report; `None` when nothing was used.
    fn message(&self, seen: &Seen, is_complete: bool) -> Option<MessageUsage> {
        let (usage, evidence) = match seen.usage {
            Some(usage) => (usage, Evidence::Reported),
            None if seen.answer_tokens == 0 && (seen.has_error || !is_complete) => return None,
            // The answer came without its usage, or broke off before it.
            None => (
                Usage {
                    tokens: Tokens::new(self.request.input_tokens, seen.answer_tokens),
                    reported_total: None,
                },
                Evidence::Estimated,
            ),
        };
        let provider_id = seen.id.as_deref().and_then(|id| checked_id(id).ok());
        Some(MessageUsage {
            // Of our own: some servers give every call the same id.
            message_id: format!("call_{}", Uuid::now_v7().simple()),
            also_known_as: Vec::new(),
            user_id: self.user.clone(),
            conversation_id: None,
            request_id: provider_id.map(str::to_owned),
            occurred_at: Some(self.began_at),
            calls: vec![ModelCall {
                call_id: None,
                model_name: self.request.model_name.clone(),
                tokens: usage.tokens,
            }],
            reported_total: usage.reported_total,
            has_answer: seen.answer_tokens > 0,
            evidence,
        })
    }
}
