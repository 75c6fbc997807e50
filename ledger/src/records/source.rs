//! Sources: keys that open one entrance each.

use serde::Serialize;
use shared::api::Outcome;
use shared::clock::Timestamp;
use shared::source::{SourceEntrance, SourceSettings};
use uuid::Uuid;

/// A source to be created.
#[derive(Debug, Clone)]
pub struct NewSource {
    pub name: String,
    pub entrance: SourceEntrance,
    /// Which Dify installation it belongs to; the default one when absent.
    pub namespace: Option<String>,
    /// Refuse what is not signed (webhook).
    pub require_signature: bool,
    pub settings: SourceSettings,
    /// What the server behind it is called with (gateway: Dify's app key; openai: the provider's).
    pub upstream_key: Option<String>,
}

/// A source as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSummary {
    pub id: Uuid,
    pub name: String,
    pub entrance: SourceEntrance,
    pub namespace: String,
    /// The first characters of its key.
    pub prefix: String,
    pub settings: SourceSettings,
    pub created_at: Timestamp,
    pub created_by: String,
    pub revoked_at: Option<Timestamp>,
    pub last_delivery: Option<LastDelivery>,
}

/// What a source delivered last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDelivery {
    pub received_at: Timestamp,
    pub outcome: Outcome,
    /// An error code or a quarantine reason.
    pub reason: Option<String>,
}
