//! What one message used, whoever reported it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::tokens::Tokens;

/// The model of a call that nobody names. Until it has a price, messages with it wait for an
/// administrator.
const UNKNOWN_MODEL: &str = "unknown";

/// The model that is assumed where none is told, or else one that says so.
pub(crate) fn model_or_unknown(assumed: Option<&ModelName>) -> Option<ModelName> {
    match assumed {
        Some(model_name) => Some(model_name.clone()),
        None => UNKNOWN_MODEL.parse().ok(),
    }
}

/// One model call inside a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelCall {
    /// Dify's node execution id, where the call is known apart from the rest of its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    pub model_name: ModelName,
    pub tokens: Tokens,
}

impl ModelCall {
    /// Whether this tells only how many tokens a message used together, which then stand for input.
    #[must_use]
    pub fn is_bare_total(&self, evidence: Evidence) -> bool {
        evidence == Evidence::Estimated
            && self.call_id.is_none()
            && self.tokens.total() == self.tokens.input
    }
}

/// How good a report is. Of two reports of one message, the better one counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nobody told the tokens: Tollgate estimated them.
    Estimated,
    /// Dify told the tokens, but not the model: it is the one that the source is set to.
    AssumedModel,
    /// Tokens and model were told.
    #[default]
    Reported,
}

impl Evidence {
    pub const ALL: [Self; 3] = [Self::Estimated, Self::AssumedModel, Self::Reported];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::AssumedModel => "assumed_model",
            Self::Reported => "reported",
        }
    }
}

/// What one message used, whichever entrance reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageUsage {
    /// The message's identity within its namespace: Dify's message id, or the workflow run id where
    /// there is no message.
    pub message_id: String,
    /// Other ids that another entrance may know the same message by, such as the workflow run id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_known_as: Vec<String>,
    pub user_id: UserId,
    pub conversation_id: Option<String>,
    pub request_id: Option<String>,
    /// When the message happened, if the sender said so.
    pub occurred_at: Option<Timestamp>,
    /// Empty when no model ran, as when a moderation or an annotation answered.
    pub calls: Vec<ModelCall>,
    /// The sender's own total, which may contradict `calls`; when the message goes on where an
    /// earlier report of it ended, that of the whole.
    pub reported_total: Option<u64>,
    /// Whether the report carries an answer that is not empty, which cannot have cost nothing.
    #[serde(default)]
    pub has_answer: bool,
    #[serde(default)]
    pub evidence: Evidence,
}

impl MessageUsage {
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.calls
            .iter()
            .fold(0, |sum: u64, call| sum.saturating_add(call.tokens.total()))
    }

    /// Whether nobody told all of its tokens.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        self.evidence == Evidence::Estimated
    }

    /// Whether every call is known apart, by a call id of its own.
    #[must_use]
    pub fn is_itemized(&self) -> bool {
        !self.calls.is_empty() && self.calls.iter().all(|call| call.call_id.is_some())
    }

    /// Whether the sender's total differs from the sum of what it reported.
    #[must_use]
    pub fn is_contradictory(&self) -> bool {
        self.reported_total
            .is_some_and(|total| total != self.total_tokens())
    }

    /// Whether a call gave an answer for no tokens at all, which some model providers report.
    #[must_use]
    pub fn is_missing_usage(&self) -> bool {
        self.has_answer && self.calls.iter().any(|call| call.tokens.total() == 0)
    }
}

/// An amount of text, for want of a token count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextAmount {
    ascii_chars: u64,
    other_chars: u64,
}

impl TextAmount {
    pub fn add(&mut self, text: &str) {
        for char in text.chars() {
            if char.is_ascii() {
                self.ascii_chars += 1;
            } else {
                self.other_chars += 1;
            }
        }
    }

    /// Adds every text inside a value.
    pub fn add_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(values) => values.iter().for_each(|value| self.add_all(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.add_all(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A plain rule, near what tokenizers make of prose: four ASCII characters are a token, and
    /// every other character is one.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.ascii_chars.div_ceil(4) + self.other_chars
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.ascii_chars == 0 && self.other_chars == 0
    }
}
