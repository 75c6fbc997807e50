//! Administrative changes.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// One administrative change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    pub at: Timestamp,
    /// Who, and from where (an address, or `command line`).
    pub actor: String,
    pub origin: String,
    /// `price.publish`, `points.add`, `key.create`…
    pub action: String,
    pub subject: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}
