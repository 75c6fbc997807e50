//! `POST /api/public/ingestion`: a batch of events, each read by itself.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::part::{Part, PartKind};
use crate::formats::fields::Fields;
use crate::problem::{FieldFault, Problem};
use crate::tokens::Tokens;

/// The nodes of a workflow that call a model themselves. A span of another node may have an output
/// called `usage` too, which is then a copy of one of theirs.
const MODEL_NODES: [&str; 4] = ["llm", "agent", "question-classifier", "parameter-extractor"];

/// The one generation of a message of a basic app. Its id is made up anew each time it is sent.
const BASIC_GENERATION: &str = "llm";

/// Made for the interface, counted in characters.
const SUGGESTED_QUESTION: &str = "suggested_question";

/// One event of a batch.
#[derive(Debug)]
pub struct Event<'a> {
    /// What the answer calls it by; empty when it has no id.
    pub id: String,
    /// As received.
    pub raw: &'a str,
    /// Nothing for events that say nothing of tokens.
    pub part: Result<Option<TracedPart>, Problem>,
}

/// One part of a trace, as an event tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedPart {
    pub trace_id: String,
    /// The same for every event about this part.
    pub part_id: String,
    pub part: Part,
}

/// Reads a batch.
///
/// # Errors
/// [`Problem::InvalidJson`], or a missing field `batch`, when it is none at all.
pub fn parse_batch(body: &[u8]) -> Result<Vec<Event<'_>>, Problem> {
    #[derive(Deserialize)]
    struct IngestionBody<'a> {
        #[serde(borrow)]
        batch: Vec<&'a RawValue>,
    }
    let batch: IngestionBody<'_> = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            Problem::field("batch", FieldFault::Missing)
        } else {
            Problem::InvalidJson {
                detail: error.to_string(),
            }
        }
    })?;
    Ok(batch.batch.into_iter().map(parse_event).collect())
}

fn parse_event(raw: &RawValue) -> Event<'_> {
    let raw = raw.get();
    let event: Value = serde_json::from_str(raw).unwrap_or_default();
    Event {
        id: text(&event, "id").unwrap_or_default().to_owned(),
        raw,
        part: traced_part(&event),
    }
}

fn traced_part(event: &Value) -> Result<Option<TracedPart>, Problem> {
    let (is_call, is_create) = match text(event, "type") {
        Some("trace-create") => (false, true),
        Some("generation-create") => (true, true),
        Some("generation-update") => (true, false),
        // Nodes that call a model without a chat come as spans.
        Some("span-create" | "span-update") if is_model_node(event) => (true, false),
        Some(_) => return Ok(None),
        None => return Err(Problem::field("type", FieldFault::Missing)),
    };
    let Some(Value::Object(object)) = event.get("body") else {
        return Err(Problem::field("body", FieldFault::Missing));
    };
    let body = Body {
        fields: Fields {
            path: "body.",
            object,
        },
        metadata: object.get("metadata").unwrap_or(&Value::Null),
    };
    match is_call {
        true => body.call(is_create),
        false => body.trace(text(event, "timestamp")).map(Some),
    }
}

fn is_model_node(event: &Value) -> bool {
    event
        .pointer("/body/metadata/node_type")
        .and_then(Value::as_str)
        .is_some_and(|node| MODEL_NODES.contains(&node))
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// A value that helps where it is there and is left out where it is no such value.
fn parsed<T: std::str::FromStr>(value: &Value, name: &str) -> Option<T> {
    text(value, name)?.parse().ok()
}

#[derive(Clone, Copy)]
struct Body<'a> {
    fields: Fields<'a>,
    metadata: &'a Value,
}

impl<'a> Body<'a> {
    fn value(&self, name: &str) -> &'a Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }

    fn id(&self, name: &str) -> Option<String> {
        let id = text(self.metadata, name)?;
        crate::ids::checked_id(id).ok().map(str::to_owned)
    }

    /// What trace and call have in common.
    fn part(&self, kind: PartKind) -> Part {
        Part {
            message_id: self.id("message_id"),
            workflow_run_id: self.id("workflow_run_id"),
            conversation_id: self.id("conversation_id"),
            user_id: parsed(self.metadata, "user_id"),
            model_name: parsed(self.metadata, "model_name")
                .or_else(|| parsed(self.metadata, "ls_model_name")),
            has_answer: has_text(self.value("output")),
            ..Part::new(kind)
        }
    }

    fn trace(self, sent_at: Option<&str>) -> Result<TracedPart, Problem> {
        let trace_id = self.fields.id("id")?;
        let input = self.value("input");
        let tags = self.value("tags").as_array();
        let part = self.part(PartKind::Trace);
        let part = Part {
            user_id: match self.value("userId") {
                Value::String(user) => user.parse().ok(),
                _ => part.user_id,
            },
            conversation_id: part
                .conversation_id
                .or_else(|| self.fields.optional_id("sessionId").ok().flatten()),
            occurred_at: text(input, "created_at")
                .or_else(|| self.value("timestamp").as_str())
                .or(sent_at)
                .and_then(|text| text.parse().ok()),
            is_message: tags.is_some_and(|tags| tags.iter().any(|tag| tag == "message")),
            // Only traces of basic apps have these.
            tokens: match (
                count(input, "message_tokens"),
                count(input, "answer_tokens"),
            ) {
                (Some(message), Some(answer)) => Some(Tokens::new(message, answer)),
                _ => None,
            },
            total_tokens: count(self.metadata, "total_tokens"),
            ..part
        };
        // A caller of Dify may give several runs the same trace id.
        let run = part.workflow_run_id.as_ref().or(part.message_id.as_ref());
        Ok(TracedPart {
            trace_id,
            part_id: run.map_or_else(|| "trace".to_owned(), |run| format!("trace {run}")),
            part,
        })
    }

    /// `None` when it counts something else than a message's tokens.
    fn call(self, is_create: bool) -> Result<Option<TracedPart>, Problem> {
        let name = self.value("name").as_str();
        let usage = self.fields.object("usage", "body.usage.")?;
        let unit = usage.and_then(|usage| usage.get("unit")?.as_str());
        if name == Some(SUGGESTED_QUESTION) || unit.is_some_and(|unit| unit != "TOKENS") {
            return Ok(None);
        }
        let observation_id = self.fields.id("id")?;
        let details = self.fields.object("usageDetails", "body.usageDetails.")?;
        let node_usage = match self.value("output") {
            Value::Object(output) => output.get("usage").and_then(Value::as_object),
            _ => None,
        };
        let tokens = match (details, usage, node_usage) {
            (Some(details), _, _) => details_tokens(details)?,
            (None, Some(usage), _) => usage_tokens(usage)?,
            (None, None, Some(object)) => usage_tokens(Fields {
                path: "body.output.usage.",
                object,
            })?,
            (None, None, None) => None,
        };
        let part = self.part(PartKind::Call);
        let part = Part {
            call_id: self.id("node_execution_id").or_else(|| {
                (is_create && name != Some(BASIC_GENERATION)).then(|| observation_id.clone())
            }),
            model_name: self
                .value("model")
                .as_str()
                .and_then(|name| name.parse().ok())
                .or(part.model_name)
                // What an agent node was set to.
                .or_else(|| parsed(self.value("input").get("model")?, "model")),
            occurred_at: self
                .value("startTime")
                .as_str()
                .and_then(|text| text.parse().ok()),
            total_tokens: tokens.and_then(|(_, total)| total),
            tokens: tokens.map(|(tokens, _)| tokens),
            ..part
        };
        Ok(Some(TracedPart {
            trace_id: self.fields.id("traceId")?,
            part_id: format!("call {observation_id}"),
            part,
        }))
    }
}

fn count(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

type Counted = Option<(Tokens, Option<u64>)>;

/// Input and output as Langfuse (v2), OpenAI and Dify name them; nothing when neither is there.
fn usage_tokens(usage: Fields<'_>) -> Result<Counted, Problem> {
    let first = |names: [&str; 3]| -> Result<Option<u64>, Problem> {
        for name in names {
            if let Some(count) = usage.optional_count(name)? {
                return Ok(Some(count));
            }
        }
        Ok(None)
    };
    let input = first(["input", "promptTokens", "prompt_tokens"])?;
    let output = first(["output", "completionTokens", "completion_tokens"])?;
    let total = first(["total", "totalTokens", "total_tokens"])?;
    Ok(
        (input.is_some() || output.is_some() || total.is_some()).then(|| {
            let tokens = Tokens::new(input.unwrap_or(0), output.unwrap_or(0));
            (tokens, total)
        }),
    )
}

/// Langfuse's own breakdown, whose kinds exclude each other as ours do.
fn details_tokens(details: Fields<'_>) -> Result<Counted, Problem> {
    let Some((tokens, total)) = usage_tokens(details)? else {
        return Ok(None);
    };
    let sum = |names: [&str; 2]| -> Result<u64, Problem> {
        let mut sum = 0_u64;
        for name in names {
            sum = sum.saturating_add(details.optional_count(name)?.unwrap_or(0));
        }
        Ok(sum)
    };
    let tokens = Tokens {
        cached_input: sum(["input_cached_tokens", "cache_read_input_tokens"])?,
        cache_write: sum(["input_cache_creation", "cache_creation_input_tokens"])?,
        reasoning: sum(["output_reasoning_tokens", "output_reasoning"])?,
        ..tokens
    };
    Ok(Some((tokens, total)))
}

/// Whether an output holds words of a model, in any of the shapes that Dify gives it.
fn has_text(output: &Value) -> bool {
    let has_words = |object: &Map<String, Value>| {
        ["text", "content", "answer"]
            .iter()
            .any(|name| object.get(*name).is_some_and(has_text))
    };
    match output {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => items.iter().any(has_text),
        Value::Object(object) => has_words(object),
        _ => false,
    }
}
