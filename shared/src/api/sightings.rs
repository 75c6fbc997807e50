//! Several reports of one message.

use serde::Serialize;

use crate::clock::Timestamp;

/// In what a report differs from what was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SightingDifference {
    /// Other tokens, or another model.
    Tokens,
}

/// One report of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    pub message_id: String,
    pub seen_at: Timestamp,
    /// The name of the key.
    pub source: String,
    /// `webhook`, `settlement`, `gateway`, `langfuse`, `openai` or `review`.
    pub entrance: String,
    /// `reported`, `assumed_model` or `estimated`.
    pub evidence: String,
    pub user_id: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// In what it differs from what was charged.
    pub difference: Option<SightingDifference>,
    /// What was charged by it; absent when it brought nothing new.
    pub consumption_id: Option<String>,
}

/// All reports of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Sightings {
    /// In order, beginning with the one that was charged first.
    pub items: Vec<Sighting>,
}
