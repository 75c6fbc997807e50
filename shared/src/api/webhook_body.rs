//! The body of a webhook, for those who write one. [`crate::formats::dify`] reads it, tolerantly:
//! what is not named here is passed over.

use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};

/// The one event that is read.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum WebhookEvent {
    MessageEnd,
}

/// What a message used.
#[derive(ToSchema)]
pub struct WebhookBody {
    pub event: WebhookEvent,
    #[schema(max_length = 255)]
    pub request_id: Option<String>,
    pub data: WebhookData,
}

/// What a message used. The counts exclude each other.
#[derive(ToSchema)]
pub struct WebhookData {
    #[schema(min_length = 1, max_length = 255)]
    pub message_id: String,
    pub user_id: UserId,
    pub model_name: ModelName,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_input_tokens: Option<u64>,
    pub cache_write_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
    /// If it is not the sum of the others, the message waits.
    pub total_tokens: Option<u64>,
    #[schema(max_length = 255)]
    pub conversation_id: Option<String>,
    /// Another id of the message.
    #[schema(max_length = 255)]
    pub workflow_run_id: Option<String>,
    /// When the message happened; also as Unix seconds.
    pub timestamp: Option<Timestamp>,
    /// Only to notice an answer that is said to have cost nothing.
    pub answer: Option<String>,
}

/// Dify's own event `message_end`, with what it lacks: `model_name` and `user_id`.
#[derive(ToSchema)]
pub struct DifyMessageEnd {
    pub event: WebhookEvent,
    #[schema(min_length = 1, max_length = 255)]
    pub message_id: String,
    pub user_id: UserId,
    pub model_name: ModelName,
    #[schema(max_length = 255)]
    pub conversation_id: Option<String>,
    #[schema(max_length = 255)]
    pub request_id: Option<String>,
    /// Unix seconds.
    pub created_at: Option<i64>,
    pub metadata: DifyMetadata,
}

/// Beside other things.
#[derive(ToSchema)]
pub struct DifyMetadata {
    pub usage: DifyUsage,
}

/// Dify's counts of a message.
#[derive(ToSchema)]
pub struct DifyUsage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: Option<u64>,
}
