//! The live feed of deliveries.

use serde::{Deserialize, Serialize};

use super::fields::optional;
use super::webhook::Outcome;
use crate::clock::Timestamp;
use crate::money::Points;

/// One delivery, as the live monitor shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LiveEvent {
    /// Where to resume after this event; opaque.
    pub cursor: String,
    pub received_at: Timestamp,
    pub outcome: Outcome,
    /// The name of the key that delivered it.
    pub source: String,
    pub user_id: Option<String>,
    /// Of its calls, in their order.
    pub model_names: Vec<String>,
    pub message_id: Option<String>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub points: Option<Points>,
    pub balance: Option<Points>,
    /// An error code or a quarantine reason.
    pub reason: Option<String>,
}

/// Query of the live feed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveQuery {
    /// The cursor of the last event that was seen; what comes next unless told.
    #[serde(default, deserialize_with = "optional")]
    pub after: Option<String>,
}
