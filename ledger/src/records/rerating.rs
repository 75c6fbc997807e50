//! Pricing past messages again.

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

/// What to price again, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rerating {
    /// When the messages happened: inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// Each version prices the lines of its model; other models stay as they are.
    pub price_version_ids: Vec<i64>,
    pub reason: String,
}
