//! OpenAI's API, as far as metering needs it: what a request asks for, and what its answer used.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::dify::Text;
use crate::ids::ModelName;
use crate::problem::{FieldFault, Problem};
use crate::tokens::Tokens;

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
        let mut text = Text::default();
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
fn add_prompt(value: &Value, text: &mut Text) {
    add_texts(value, &["image_url", "input_audio", "file"], text);
}

/// Adds every text inside a value, but those below some names.
fn add_texts(value: &Value, but: &[&str], text: &mut Text) {
    match value {
        Value::String(string) => text.add(string),
        Value::Array(values) => values.iter().for_each(|value| add_texts(value, but, text)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !but.contains(&name.as_str()))
            .for_each(|(_, value)| add_texts(value, but, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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

/// What an answer tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The provider's id of the call.
    pub id: Option<String>,
    /// What the provider says was used, as far as it was told.
    pub usage: Option<Usage>,
    /// What came of the answer.
    pub answer: Text,
    /// The provider reported an error inside the answer.
    pub has_error: bool,
}

/// The usage that a provider reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub tokens: Tokens,
    /// The provider's own sum.
    pub reported_total: Option<u64>,
}

#[derive(Deserialize)]
struct UsageFields {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<UsageFields> for Usage {
    /// The provider's counts contain each other; ours exclude each other.
    fn from(fields: UsageFields) -> Self {
        let prompt = fields.prompt_tokens.unwrap_or(0);
        let completion = fields.completion_tokens.unwrap_or(0);
        let cached = fields
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .or(fields.prompt_cache_hit_tokens)
            .unwrap_or(0)
            .min(prompt);
        let outside = fields
            .total_tokens
            .unwrap_or(0)
            .saturating_sub(prompt.saturating_add(completion));
        let inside = fields
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens)
            .unwrap_or(0)
            .min(completion);
        // Some compatible servers count thinking in the total only (Google, xAI), where it is paid
        // for all the same. OpenAI counts it in the completion.
        let (output, reasoning) = match outside {
            0 => (completion - inside, inside),
            outside => (completion, outside),
        };
        Self {
            tokens: Tokens {
                input: prompt - cached,
                cached_input: cached,
                cache_write: 0,
                output,
                reasoning,
            },
            reported_total: fields.total_tokens,
        }
    }
}

/// The parts of an answer, or of one chunk of it, that matter here.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    text: Option<Value>,
}

impl Answer {
    fn usage(&self) -> Option<Usage> {
        let fields = UsageFields::deserialize(self.usage.as_ref()?).ok()?;
        // Some servers send an empty object with every chunk.
        fields.prompt_tokens.or(fields.total_tokens)?;
        Some(fields.into())
    }

    /// Whether this is the chunk that tells the usage and nothing else.
    fn is_usage_only(&self) -> bool {
        self.choices.as_ref().is_some_and(Vec::is_empty) && self.usage().is_some()
    }
}

impl Seen {
    fn add(&mut self, answer: &Answer) {
        if let (None, Some(Value::String(id))) = (&self.id, &answer.id) {
            self.id = Some(id.clone()).filter(|id| !id.is_empty());
        }
        // Where several chunks tell it, it grows; the last one counts.
        self.usage = answer.usage().or(self.usage);
        self.has_error |= answer.error.as_ref().is_some_and(|it| !it.is_null());
        for choice in answer.choices.iter().flatten() {
            let parts = [&choice.message, &choice.delta, &choice.text];
            for part in parts.into_iter().flatten() {
                // Without what only names things.
                add_texts(part, &["role", "id", "type", "data"], &mut self.answer);
            }
        }
    }

    /// Reads a whole answer; one that is not JSON tells nothing.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let mut seen = Self::default();
        if let Ok(answer) = serde_json::from_slice(body) {
            seen.add(&answer);
        }
        seen
    }
}

/// Reads a stream of chunks as it passes, in pieces cut anywhere.
#[derive(Debug, Default)]
pub struct StreamReader {
    seen: Seen,
    /// The client did not ask for the usage, so the chunk that tells it is taken out.
    hides_usage: bool,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// The line was too long to wait for: what is left of it passes unread.
    is_skipping: bool,
    /// The line before was taken out, and the empty one that ends its event goes with it.
    is_after_hidden: bool,
}

/// A longer line passes unread; chunks are far shorter.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

impl StreamReader {
    #[must_use]
    pub fn new(hides_usage: bool) -> Self {
        Self {
            hides_usage,
            ..Self::default()
        }
    }

    /// Takes a piece of the stream; adds to `onward` what the client gets now. All of it, unless a
    /// chunk may have to be taken out: then its last line is held back until it is complete.
    pub fn read(&mut self, piece: &[u8], onward: &mut Vec<u8>) {
        if !self.hides_usage {
            onward.extend_from_slice(piece);
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_skipping {
                self.line.extend_from_slice(part);
            } else if self.hides_usage {
                onward.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                if !self.is_skipping {
                    self.end_line(onward);
                }
                self.is_skipping = false;
            } else if self.line.len() > LINE_BYTES_MAX {
                self.is_skipping = true;
                self.pass_line(onward);
            }
        }
    }

    /// The stream has ended: adds what was held back, and tells what was seen.
    pub fn finish(mut self, onward: &mut Vec<u8>) -> Seen {
        if !self.line.is_empty() {
            self.end_line(onward);
        }
        self.seen
    }

    fn end_line(&mut self, onward: &mut Vec<u8>) {
        let is_empty = matches!(self.line.as_slice(), b"\n" | b"\r\n");
        if is_empty && self.is_after_hidden {
            self.is_after_hidden = false;
            self.line.clear();
            return;
        }
        self.is_after_hidden = false;
        if let Some(answer) = chunk(&self.line) {
            self.seen.add(&answer);
            if self.hides_usage && answer.is_usage_only() {
                self.is_after_hidden = true;
                self.line.clear();
                return;
            }
        }
        self.pass_line(onward);
    }

    fn pass_line(&mut self, onward: &mut Vec<u8>) {
        if self.hides_usage {
            onward.extend_from_slice(&self.line);
        }
        self.line.clear();
    }
}

/// The chunk in a line of the stream; `[DONE]`, comments and the like hold none.
fn chunk(line: &[u8]) -> Option<Answer> {
    serde_json::from_slice(line.strip_prefix(b"data:")?).ok()
}
