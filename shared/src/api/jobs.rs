//! Long work.

use serde::Serialize;

use crate::clock::Timestamp;

/// Long work that goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub id: String,
    pub kind: String,
    /// The model whose messages wait no longer, or the reason for pricing again.
    pub about: String,
    /// Messages to look at, as far as known when it began.
    pub total: i64,
    pub done: i64,
    pub created_at: Timestamp,
    pub created_by: String,
    pub finished_at: Option<Timestamp>,
    pub error: Option<String>,
}

/// A job that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartedJob {
    pub job_id: String,
}
