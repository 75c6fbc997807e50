//! What Dify reports: one message, and what it used.

mod events;
mod meter;
mod skim;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId, checked_id};
use crate::problem::{FieldFault, Problem};
use crate::tokens::Tokens;

pub use events::EventReader;
pub use meter::{Asked, Meter, Pause, Seen, Text};

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

/// Reads the body of `POST /api/dify/webhook`, in either of two forms:
///
/// - the webhook's own: everything in `data`, tokens as `input_tokens` and `output_tokens`
///   (optionally also `cached_input_tokens`, `cache_write_tokens`, `reasoning_tokens`, which are
///   **not** contained in the former two);
/// - Dify's `message_end` event as its Service API streams it (v1.12 to v1.16: `metadata.usage` with
///   `prompt_tokens` and `completion_tokens`), with `model_name` and `user_id`, which Dify's event
///   lacks, at the top level or in `data`.
///
/// # Errors
/// [`Problem::InvalidJson`], or [`Problem::InvalidField`] with the path of the first bad field.
pub fn parse_webhook(body: &[u8]) -> Result<MessageUsage, Problem> {
    let event: Value = serde_json::from_slice(body).map_err(|error| Problem::InvalidJson {
        detail: error.to_string(),
    })?;
    parse_event(&event)
}

fn parse_event(event: &Value) -> Result<MessageUsage, Problem> {
    let Value::Object(top) = event else {
        return Err(Problem::field("event", FieldFault::Missing));
    };
    let top = Fields {
        path: "",
        object: top,
    };
    if top.text("event")? != "message_end" {
        return Err(Problem::field(
            "event",
            FieldFault::NotOneOf {
                allowed: "message_end".into(),
            },
        ));
    }
    let data = top.object("data", "data.")?;
    let usage = match top.object("metadata", "metadata.")? {
        Some(metadata) => metadata.object("usage", "metadata.usage.")?,
        None => None,
    };
    match (data, usage) {
        (data, Some(usage)) => parse_message_end(top, data, usage),
        (Some(data), None) => parse_own_form(top, data),
        (None, None) => Err(Problem::field("data", FieldFault::Missing)),
    }
}

fn parse_own_form(top: Fields<'_>, data: Fields<'_>) -> Result<MessageUsage, Problem> {
    Ok(MessageUsage {
        message_id: data.id("message_id")?,
        also_known_as: data.optional_id("workflow_run_id")?.into_iter().collect(),
        user_id: data.user("user_id")?,
        conversation_id: data.optional_id("conversation_id")?,
        request_id: top.optional_id("request_id")?,
        occurred_at: data.optional_time("timestamp")?,
        calls: vec![ModelCall {
            call_id: None,
            model_name: data.model("model_name")?,
            tokens: Tokens {
                input: data.count("input_tokens")?,
                output: data.count("output_tokens")?,
                cached_input: data.optional_count("cached_input_tokens")?.unwrap_or(0),
                cache_write: data.optional_count("cache_write_tokens")?.unwrap_or(0),
                reasoning: data.optional_count("reasoning_tokens")?.unwrap_or(0),
            },
        }],
        reported_total: data.optional_count("total_tokens")?,
        has_answer: data.has_text("answer"),
        evidence: Evidence::Reported,
    })
}

fn parse_message_end(
    top: Fields<'_>,
    data: Option<Fields<'_>>,
    usage: Fields<'_>,
) -> Result<MessageUsage, Problem> {
    let beside = |name| match data {
        Some(data) if data.has(name) => data,
        _ => top,
    };
    // Old versions of Dify name the message only as `id`.
    let message_id = match top.has("message_id") {
        true => top.id("message_id")?,
        false if top.has("id") => top.id("id")?,
        false => beside("message_id").id("message_id")?,
    };
    Ok(MessageUsage {
        message_id,
        also_known_as: beside("workflow_run_id")
            .optional_id("workflow_run_id")?
            .into_iter()
            .collect(),
        user_id: beside("user_id").user("user_id")?,
        conversation_id: top.optional_id("conversation_id")?,
        request_id: top.optional_id("request_id")?,
        occurred_at: top.optional_time("created_at")?,
        calls: vec![ModelCall {
            call_id: None,
            model_name: beside("model_name").model("model_name")?,
            tokens: Tokens::new(
                usage.count("prompt_tokens")?,
                usage.count("completion_tokens")?,
            ),
        }],
        reported_total: usage.optional_count("total_tokens")?,
        has_answer: top.has_text("answer") || data.is_some_and(|data| data.has_text("answer")),
        evidence: Evidence::Reported,
    })
}

/// An object and where it stands in the body, so that an error can name the whole path.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub path: &'static str,
    pub object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// `null` counts as absent: Dify sends it for what it does not know.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn has_text(&self, name: &str) -> bool {
        self.get(name)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.trim().is_empty())
    }

    fn problem(&self, name: &str, fault: impl Into<FieldFault>) -> Problem {
        Problem::field(format!("{}{name}", self.path), fault)
    }

    fn required(&self, name: &str) -> Result<&'a Value, Problem> {
        self.get(name)
            .ok_or_else(|| self.problem(name, FieldFault::Missing))
    }

    pub fn object(&self, name: &str, path: &'static str) -> Result<Option<Self>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Fields { path, object })),
            Some(_) => Err(self.problem(name, FieldFault::Missing)),
        }
    }

    pub fn text(&self, name: &str) -> Result<&'a str, Problem> {
        self.required(name)?
            .as_str()
            .ok_or_else(|| self.problem(name, FieldFault::NotText))
    }

    pub fn id(&self, name: &str) -> Result<String, Problem> {
        checked_id(self.text(name)?)
            .map(str::to_owned)
            .map_err(|error| self.problem(name, error))
    }

    /// An empty text counts as absent here: templates leave it where a variable has no value.
    pub fn optional_id(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(_) => self.id(name).map(Some),
        }
    }

    fn user(&self, name: &str) -> Result<UserId, Problem> {
        self.text(name)?
            .parse()
            .map_err(|error| self.problem(name, error))
    }

    fn model(&self, name: &str) -> Result<ModelName, Problem> {
        self.text(name)?
            .parse()
            .map_err(|error| self.problem(name, error))
    }

    pub fn count(&self, name: &str) -> Result<u64, Problem> {
        let count = self
            .required(name)?
            .as_u64()
            .ok_or_else(|| self.problem(name, FieldFault::NotACount))?;
        // The ledger's integers are signed.
        match i64::try_from(count) {
            Ok(_) => Ok(count),
            Err(_) => Err(self.problem(name, FieldFault::TooLarge)),
        }
    }

    pub fn optional_count(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.get(name).map(|_| self.count(name)).transpose()
    }

    fn optional_time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let moment = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_i64().and_then(Timestamp::from_unix_seconds),
        };
        moment
            .map(Some)
            .ok_or_else(|| self.problem(name, FieldFault::NotATime))
    }
}
