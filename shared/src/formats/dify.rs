//! The body of a webhook: one message of Dify, and what it used.

use serde_json::Value;

use super::fields::Fields;
use crate::problem::{FieldFault, Problem};
use crate::tokens::Tokens;
use crate::usage::Evidence;
use crate::usage::{MessageUsage, ModelCall};

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
            evidence: None,
        }],
        reported_total: data.optional_count("total_tokens")?,
        has_answer: data.has_text("answer"),
        evidence: Evidence::Measured,
        assumed_model: None,
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
            evidence: None,
        }],
        reported_total: usage.optional_count("total_tokens")?,
        has_answer: top.has_text("answer") || data.is_some_and(|data| data.has_text("answer")),
        evidence: Evidence::Measured,
        assumed_model: None,
    })
}
