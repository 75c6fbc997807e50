//! What one message used, whoever reported it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::tokens::Tokens;
use crate::usage::report::{Count, Evidence, Line, Usage, Whole};

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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ModelCall {
    /// Dify's node execution id, where the call is known apart from the rest of its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    pub model_name: ModelName,
    pub tokens: Tokens,
    /// How sure this call is, where that is not how sure the message is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// What one message used, whichever entrance reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// That of its least sure call. A call without an id that is only summed is a bare count of all
    /// that the message used so far.
    #[serde(default)]
    pub evidence: Evidence,
    /// The model that stands in where only a number of tokens is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_model: Option<ModelName>,
}

impl MessageUsage {
    /// What it says was used, by calls, as a whole or as a bare count. `is_so_far`: the message may go
    /// on, and a total is that of all it used until now.
    #[must_use]
    pub fn usage(&self, is_so_far: bool) -> Usage {
        let mut usage = Usage::default();
        let mut whole = Vec::new();
        for call in &self.calls {
            let line = Line {
                model_name: call.model_name.clone(),
                tokens: call.tokens,
                evidence: call.evidence.unwrap_or(self.evidence),
            };
            match &call.call_id {
                Some(id) => {
                    usage.calls.insert(id.clone(), line);
                }
                None if line.evidence == Evidence::Summed => {
                    usage.count = Some(Count {
                        tokens: call.tokens.total(),
                        model_name: call.model_name.clone(),
                    });
                }
                None => whole.push(line),
            }
        }
        if !whole.is_empty() {
            usage.whole = Some(Whole {
                lines: whole,
                is_so_far,
            });
        }
        let first = self.calls.first().map(|call| &call.model_name);
        if let (Some(tokens), Some(model)) =
            (self.reported_total, self.assumed_model.as_ref().or(first))
            && is_so_far
            && !usage.calls.is_empty()
        {
            let model_name = model.clone();
            usage.count = Some(Count { tokens, model_name });
        }
        usage
    }

    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.calls
            .iter()
            .fold(0, |sum: u64, call| sum.saturating_add(call.tokens.total()))
    }

    /// Whether nobody told all of its tokens.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        self.evidence <= Evidence::Summed
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
