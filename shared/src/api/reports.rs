//! Several reports of one message.

use serde::Serialize;

use crate::clock::Timestamp;

/// In what a report differs from what was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReportDifference {
    /// Other tokens, or another model.
    Tokens,
}

/// One report of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportSummary {
    pub message_id: String,
    pub reported_at: Timestamp,
    /// The name of the key.
    pub source: String,
    /// `webhook`, `settlement`, `gateway`, `langfuse`, `openai` or `review`.
    pub entrance: String,
    /// Of its least sure line: `measured`, `model_assumed`, `summed` or `estimated`.
    pub evidence: String,
    pub user_id: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// In what it differs from what was charged.
    pub difference: Option<ReportDifference>,
    /// What was charged by it; absent when it brought nothing new.
    pub consumption_id: Option<String>,
}

/// All reports of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct MessageReports {
    /// In order, beginning with the one that was charged first.
    pub items: Vec<ReportSummary>,
}
