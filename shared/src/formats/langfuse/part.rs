//! What one part of a trace tells.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::tokens::Tokens;

/// Whether a part of a trace is the trace itself or a model call in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PartKind {
    Trace,
    Call,
}

/// What one part of a trace tells. What it does not tell is absent when written, so that a later
/// event about the same part is laid over an earlier one, key by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    pub kind: PartKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_run_id: Option<String>,
    /// Dify's node execution id; absent for the one call of a basic app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<ModelName>,
    /// Of the trace itself: what a basic app's message used, which its generation tells too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// The trace of a message, not of a workflow that runs by itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_message: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_answer: bool,
}

/// Takes a reference because serde passes one.
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Part {
    pub const fn new(kind: PartKind) -> Self {
        Self {
            kind,
            message_id: None,
            workflow_run_id: None,
            call_id: None,
            user_id: None,
            conversation_id: None,
            occurred_at: None,
            model_name: None,
            tokens: None,
            total_tokens: None,
            is_message: false,
            has_answer: false,
        }
    }
}
