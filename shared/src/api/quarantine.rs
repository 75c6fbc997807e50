//! Messages that wait for an administrator or a price.

use serde::{Deserialize, Serialize};

use super::envelope::PAGE_ITEMS_MAX;
use super::fields::{Word, optional, required, within, word};
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::usage::MessageUsage;

/// Why a message waits in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    UnknownModel,
    InactivePrice,
    /// The reported total is not the sum of the reported parts.
    ContradictoryTokens,
    /// No tokens at all beside an answer that is not empty.
    ZeroUsage,
    /// More tokens than the operator allows one message.
    TooManyTokens,
    /// The charge does not fit the ledger.
    Overflow,
    /// The body could not be read.
    Unreadable,
    /// Parts of a trace whose user or whose calls never came.
    IncompleteTrace,
    /// All its ids belong to another user's message.
    AnotherUser,
}

impl QuarantineReason {
    pub const ALL: [Self; 9] = [
        Self::UnknownModel,
        Self::InactivePrice,
        Self::ContradictoryTokens,
        Self::ZeroUsage,
        Self::TooManyTokens,
        Self::Overflow,
        Self::Unreadable,
        Self::IncompleteTrace,
        Self::AnotherUser,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownModel => "unknown_model",
            Self::InactivePrice => "inactive_price",
            Self::ContradictoryTokens => "contradictory_tokens",
            Self::ZeroUsage => "zero_usage",
            Self::TooManyTokens => "too_many_tokens",
            Self::Overflow => "overflow",
            Self::Unreadable => "unreadable",
            Self::IncompleteTrace => "incomplete_trace",
            Self::AnotherUser => "another_user",
        }
    }
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuarantineItem {
    pub id: String,
    pub received_at: Timestamp,
    pub reason: QuarantineReason,
    pub source: String,
    /// Absent when the body could not be read.
    pub message_id: Option<String>,
    pub user_id: Option<UserId>,
    pub model_names: Vec<ModelName>,
    pub tokens: u64,
    /// The body as received, as far as it is text.
    pub body: String,
}

/// What became of a message that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuarantineStatus {
    Waiting,
    Charged,
    Dismissed,
}

impl QuarantineStatus {
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Charged, Self::Dismissed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Charged => "charged",
            Self::Dismissed => "dismissed",
        }
    }
}

/// A message that waits or has waited, with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuarantineDetail {
    pub item: QuarantineItem,
    pub status: QuarantineStatus,
    pub resolved_at: Option<Timestamp>,
    /// Who dismissed it, and why.
    pub resolved_by: Option<String>,
    pub resolution: Option<String>,
    /// What was reported; absent when the body could not be read.
    pub usage: Option<MessageUsage>,
    /// The body byte for byte, in base64, where it is not text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// Query of a page of waiting messages, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuarantineQuery {
    #[serde(default, deserialize_with = "word")]
    pub reason: Option<QuarantineReason>,
    /// Where the page begins: `nextCursor` of the page before.
    #[serde(default, deserialize_with = "optional")]
    pub cursor: Option<String>,
    /// Items of a page at most; 20 unless told.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    #[serde(default, deserialize_with = "within::<_, 1, PAGE_ITEMS_MAX>")]
    pub limit: Option<u32>,
}

impl Word for QuarantineReason {
    const WORDS: &'static [Self] = &Self::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// A message is to be charged as it was reported: there is nothing to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChargeAsReported {}

/// A message is not to be charged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DismissMessage {
    #[serde(deserialize_with = "required")]
    pub reason: String,
}
