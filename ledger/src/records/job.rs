//! Jobs: what one is to do, and how far it has come.

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::ids::ModelName;
use uuid::Uuid;

use crate::records::rerating::Rerating;

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Task {
    /// Charge what waits for a price of this model.
    Release { model_name: ModelName },
    /// Price a time range again and enter the differences.
    Rerate(Rerating),
}

impl Task {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Release { .. } => "release",
            Self::Rerate(_) => "rerate",
        }
    }

    /// The model whose messages wait no longer, or the reason for pricing again.
    pub(crate) fn about(self) -> String {
        match self {
            Self::Release { model_name } => model_name.into(),
            Self::Rerate(rerating) => rerating.reason,
        }
    }
}

/// A job as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    pub id: Uuid,
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
