//! The end of a call that was let through: charged by what it used, or let go.

use std::sync::Arc;

use ledger::{ApiKey, Delivery, Entrance};
use shared::clock::Timestamp;
use shared::formats::openai::{CallRequest, ModelAnswer, ProviderUsage};
use shared::ids::{UserId, checked_id};
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};
use tokio::time::timeout;
use uuid::Uuid;

use crate::http::plumbing::metered;
use crate::http::plumbing::state::Http;

/// A call that was let through.
pub struct AdmittedCall {
    pub http: Http,
    pub key: Arc<ApiKey>,
    pub user: UserId,
    pub request: CallRequest,
    pub hold_id: Option<String>,
    pub began_at: Timestamp,
}

impl AdmittedCall {
    /// Frees what was held: nothing was used.
    pub async fn release(&self) {
        metered::release(self.http.ledger(), &self.user, self.hold_id.as_deref()).await;
    }

    /// Charges what was used; `is_complete`: the answer came to its end. Returns when it is in the
    /// books, or after a second: then the attempts go on, and who waits for the answer need not.
    pub async fn settle(self, seen: ModelAnswer, is_complete: bool) {
        let calls = self.http.0.calls.clone();
        let settled = calls.spawn(async move { self.enter(&seen, is_complete).await });
        drop(timeout(metered::CHARGE_WAIT_MAX, settled).await);
    }

    async fn enter(&self, seen: &ModelAnswer, is_complete: bool) {
        // What these calls use is charged where the whole message is reported.
        if self.key.settings.is_protecting_only {
            return;
        }
        let Some(message) = self.message(seen, is_complete) else {
            return self.release().await;
        };
        let delivery = Delivery::own(Arc::clone(&self.key), Entrance::Openai, message);
        let delivery = delivery.settling(self.hold_id.as_deref());
        metered::deliver(self.http.ledger(), delivery).await;
    }

    /// What to report; `None` when nothing was used.
    fn message(&self, seen: &ModelAnswer, is_complete: bool) -> Option<MessageUsage> {
        let answer_tokens = seen.answer.tokens();
        let (usage, evidence) = match seen.usage {
            Some(usage) => (usage, Evidence::Measured),
            None if answer_tokens == 0 && (seen.has_error || !is_complete) => return None,
            // The answer came without its usage, or broke off before it.
            None => (
                ProviderUsage {
                    tokens: Tokens::new(self.request.input_tokens, answer_tokens),
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
                evidence: None,
            }],
            reported_total: usage.reported_total,
            has_answer: answer_tokens > 0,
            evidence,
            assumed_model: None,
        })
    }
}
