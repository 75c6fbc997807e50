//! Runs that Dify has paused for a person's input.

use std::sync::Arc;

use shared::ids::UserId;

use crate::records::api_key::ApiKey;

/// A run that is to go on.
#[derive(Debug, Clone)]
pub struct PausedRun {
    /// With the key of the server behind it.
    pub source: Arc<ApiKey>,
    pub run_id: String,
    /// What was charged of it so far was charged as this message.
    pub message_id: String,
    pub user_id: UserId,
    /// The user's name as Dify knows it.
    pub dify_user: String,
}

/// Whether this process has a run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunLease {
    Yes,
    /// Another one has it, or it has ended.
    Elsewhere,
    /// As many of its user's runs as may be are followed already.
    ShareUsedUp,
}

/// A run that was given up.
#[derive(Debug, Clone)]
pub struct ForgottenRun {
    pub source: String,
    pub run_id: String,
    pub user_id: String,
    /// Else its time was over.
    pub is_revoked: bool,
}
