//! How complete the reports about a source's messages are.

use serde::{Deserialize, Serialize};

use super::fields::{optional, optional_list, required};
use super::webhook::WebhookAnswer;
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::tokens::Tokens;

/// A message that used tokens, as Dify lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ServedMessage {
    /// Of a workflow its run id.
    pub message_id: String,
    pub user_id: UserId,
    pub conversation_id: Option<String>,
    pub occurred_at: Timestamp,
    /// Of a workflow all its tokens: Dify tells no more.
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
}

impl ServedMessage {
    /// What it is charged for; `None` where Dify tells no tokens.
    #[must_use]
    pub fn tokens(&self) -> Option<Tokens> {
        let output = self.output_tokens.unwrap_or(0);
        self.input_tokens.map(|input| Tokens::new(input, output))
    }
}

/// The messages of a day, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompletenessDay {
    /// `2026-07-23`
    pub day: String,
    pub served: u64,
    pub arrived: u64,
}

/// How complete the reports about a source's messages are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Completeness {
    pub source: String,
    /// When Dify was last asked; absent when never.
    pub begun_at: Option<Timestamp>,
    /// When a check last came to its end; absent when none ever did.
    pub checked_at: Option<Timestamp>,
    /// Why the last check did not come to its end.
    pub error: Option<String>,
    /// Newest first, as of the check that looked at the day last.
    pub days: Vec<CompletenessDay>,
    /// Newest first.
    pub missing: Vec<ServedMessage>,
}

impl Completeness {
    /// Messages that Dify served and that arrived, of all days together.
    #[must_use]
    pub fn served_and_arrived(&self) -> (u64, u64) {
        let sum = |count: fn(&CompletenessDay) -> u64| self.days.iter().map(count).sum();
        (sum(|day| day.served), sum(|day| day.arrived))
    }
}

/// What arrived of what was served, in percent with one decimal, rounded down: `100.0 %` means all.
#[must_use]
pub fn arrived_share(served: u64, arrived: u64) -> String {
    let thousandths = u128::from(arrived)
        .saturating_mul(1000)
        .checked_div(served.into())
        .unwrap_or(1000);
    let [whole, rest] = [thousandths / 10, thousandths % 10].map(|digits| digits.to_string());
    [&whole, ".", &rest, " %"].concat()
}

/// What became of a missing message that was to be charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReviewedMessage {
    pub message_id: String,
    pub answer: Option<WebhookAnswer>,
    /// The code of what stood in the way.
    pub problem: Option<String>,
}

/// Which source's reports are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompletenessQuery {
    /// The name of a source that Dify's API can be asked through.
    #[serde(deserialize_with = "required")]
    pub source: String,
}

/// Which source's messages are to be compared with what Dify lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckCompleteness {
    #[serde(deserialize_with = "required")]
    pub source: String,
    /// Messages from then on.
    #[serde(deserialize_with = "required")]
    pub since: Timestamp,
}

/// Which missing messages of a source are to be charged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChargeMissing {
    #[serde(deserialize_with = "required")]
    pub source: String,
    /// All that are missing unless told.
    #[serde(default, deserialize_with = "optional_list")]
    pub messages: Option<Vec<MissingMessage>>,
    /// The model to charge them with; the source's unless told.
    #[serde(default, deserialize_with = "optional")]
    pub model_name: Option<ModelName>,
}

/// A message that Dify served and nobody reported.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MissingMessage {
    #[serde(deserialize_with = "required")]
    pub message_id: String,
}
