//! Keys of machines: as they authenticate, as they are shown once, and as administrators see them.

use std::fmt;

use serde::Serialize;
use shared::clock::Timestamp;
use shared::source::SourceEntrance;
use shared::source::SourceSettings;
use uuid::Uuid;

use crate::records::scope::Scope;

/// An authenticated key: the source of deliveries.
#[derive(Clone)]
pub struct ApiKey {
    pub id: Uuid,
    /// The Dify installation whose messages it reports.
    pub namespace_id: i64,
    pub name: String,
    pub scope: Scope,
    pub require_signature: bool,
    /// In clear; never logged.
    pub signing_secret: Vec<u8>,
    pub settings: SourceSettings,
    /// What the server behind the source is called with, such as Dify's app key; never logged.
    pub upstream_key: Option<String>,
}

/// Leaves the secret out.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// The source of a delivery that is already on record; it cannot verify signatures.
    pub(crate) fn recorded(id: Uuid, namespace_id: i64, name: String) -> Self {
        Self {
            id,
            namespace_id,
            name,
            scope: Scope::Entrance(SourceEntrance::Webhook),
            require_signature: true,
            signing_secret: Vec::new(),
            settings: SourceSettings::default(),
            upstream_key: None,
        }
    }
}

/// A new key, in clear for the only time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    pub id: Uuid,
    pub key: String,
    /// `whsec_` and base64, as Standard Webhooks libraries expect it.
    pub signing_secret: String,
}

/// A key as an administrator sees it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySummary {
    pub id: Uuid,
    pub name: String,
    pub scope: String,
    pub prefix: String,
    pub require_signature: bool,
    pub created_at: Timestamp,
    pub created_by: String,
    pub revoked_at: Option<Timestamp>,
}
