//! What a request asks for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::texts::add_texts;
use crate::ids::ModelName;
use crate::problem::{FieldFault, Problem};
use crate::usage::TextAmount;

/// What a request for a chat completion, a completion or embeddings asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    pub model_name: ModelName,
    /// As it came; `None` when there is none, or it is no text, or empty.
    pub user: Option<String>,
    pub is_stream: bool,
    /// The client asked for the chunk that tells the usage.
    pub wants_usage: bool,
    /// About how many tokens the prompt has.
    pub input_tokens: u64,
    /// How many tokens the answer may have at most, if the request says so.
    pub output_tokens_max: Option<u64>,
}

#[derive(Deserialize)]
struct RequestFields {
    model: Option<Value>,
    user: Option<Value>,
    stream: Option<Value>,
    stream_options: Option<Value>,
    max_completion_tokens: Option<Value>,
    max_tokens: Option<Value>,
    messages: Option<Value>,
    prompt: Option<Value>,
    input: Option<Value>,
    tools: Option<Value>,
    functions: Option<Value>,
}

const STREAM_OPTIONS: &str = "stream_options";
const INCLUDE_USAGE: &str = "include_usage";

impl CallRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`Problem::InvalidJson`]; a field problem for `model`.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let fields: RequestFields =
            serde_json::from_slice(body).map_err(|error| Problem::InvalidJson {
                detail: error.to_string(),
            })?;
        let model = match &fields.model {
            Some(Value::String(model)) => model,
            Some(Value::Null) | None => return Err(Problem::field("model", FieldFault::Missing)),
            Some(_) => return Err(Problem::field("model", FieldFault::NotText)),
        };
        let mut text = TextAmount::default();
        let plain = [&fields.prompt, &fields.input];
        let structured = [&fields.messages, &fields.tools, &fields.functions];
        for value in plain.into_iter().chain(structured).flatten() {
            add_prompt(value, &mut text);
        }
        let ids = plain.into_iter().flatten().map(token_ids).sum::<u64>();
        let output_tokens_max = [&fields.max_completion_tokens, &fields.max_tokens]
            .into_iter()
            .find_map(|field| field.as_ref()?.as_u64());
        Ok(Self {
            model_name: model
                .parse()
                .map_err(|fault| Problem::field("model", FieldFault::from(fault)))?,
            user: fields
                .user
                .as_ref()
                .and_then(Value::as_str)
                .map(str::trim)
                .filter(|user| !user.is_empty())
                .map(str::to_owned),
            is_stream: fields.stream == Some(Value::Bool(true)),
            wants_usage: fields
                .stream_options
                .is_some_and(|options| options.get(INCLUDE_USAGE) == Some(&Value::Bool(true))),
            input_tokens: text.tokens().saturating_add(ids),
            output_tokens_max,
        })
    }
}

/// The body of a request for a stream, with the wish to be told the usage added. Every other value
/// stays as it was written, digit by digit.
///
/// # Errors
/// [`Problem::InvalidJson`].
pub fn asking_for_usage(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let invalid = |error: serde_json::Error| Problem::InvalidJson {
        detail: error.to_string(),
    };
    let mut fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(body).map_err(invalid)?;
    let mut options: BTreeMap<String, Box<RawValue>> = fields
        .get(STREAM_OPTIONS)
        .and_then(|options| serde_json::from_str(options.get()).ok())
        .unwrap_or_default();
    options.insert(
        INCLUDE_USAGE.to_owned(),
        to_raw_value(&true).map_err(invalid)?,
    );
    fields.insert(
        STREAM_OPTIONS.to_owned(),
        to_raw_value(&options).map_err(invalid)?,
    );
    serde_json::to_vec(&fields).map_err(invalid)
}

/// Adds the texts of a prompt. Pictures and sounds are left out: how they count is the provider's
/// secret, and their bytes would count as millions.
fn add_prompt(value: &Value, text: &mut TextAmount) {
    add_texts(value, &["image_url", "input_audio", "file"], text);
}

/// Prompts may be given as the ids of their tokens, in one list or several.
fn token_ids(value: &Value) -> u64 {
    match value {
        Value::Number(_) => 1,
        Value::Array(values) => values
            .iter()
            .fold(0, |sum: u64, value| sum.saturating_add(token_ids(value))),
        _ => 0,
    }
}
