//! What became of a report.

use serde::{Deserialize, Serialize};

use super::envelope::Failure;
use super::quarantine::QuarantineReason;
use crate::money::{Nano, Points};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Charged,
    /// The message was charged before; the first answer is given again.
    Duplicate,
    /// Kept, not charged; it waits for an administrator or a price.
    Quarantined,
    /// The message was delivered before with other numbers.
    Conflict,
    /// The body was refused; it is kept for the administrator.
    Rejected,
}

impl Outcome {
    pub const ALL: [Self; 5] = [
        Self::Charged,
        Self::Duplicate,
        Self::Quarantined,
        Self::Conflict,
        Self::Rejected,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Duplicate => "duplicate",
            Self::Quarantined => "quarantined",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
        }
    }
}

/// `data` of the webhook's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookAnswer {
    pub status: Outcome,
    /// `cons_…`; absent while the message waits in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumption_id: Option<String>,
    pub points_deducted: Points,
    pub points_deducted_nano: Nano,
    pub tokens_used: u64,
    pub balance: Points,
    pub balance_nano: Nano,
    /// Why it waits, when `status` is `quarantined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<QuarantineReason>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum EventResult {
    Answer(WebhookAnswer),
    Failure(Failure),
}

/// What became of a batch.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    pub charged: u32,
    pub duplicate: u32,
    pub quarantined: u32,
    pub failed: u32,
    /// One for each event, in order.
    pub results: Vec<EventResult>,
}
