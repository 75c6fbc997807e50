//! What an answer of Dify's says was used, whichever of its shapes it has and wherever it breaks off.

use std::collections::BTreeMap;

use serde_json::Value;

use super::events::EventReader;
use super::skim::Skimmer;
use super::{Evidence, MessageUsage, ModelCall};
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId, checked_id};
use crate::tokens::Tokens;

/// The model of a call when neither Dify nor the source's settings tell it. Until it has a price,
/// messages with it wait for an administrator.
const UNKNOWN_MODEL: &str = "unknown";
/// Forms that a run may wait for at once.
const FORMS_MAX: usize = 32;

/// An amount of text, for want of a token count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Text {
    ascii_chars: u64,
    other_chars: u64,
}

impl Text {
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

    const fn is_empty(self) -> bool {
        self.ascii_chars == 0 && self.other_chars == 0
    }
}

/// What is known of a call beside Dify's answer.
#[derive(Debug, Clone)]
pub struct Asked {
    pub user_id: UserId,
    /// The model of calls whose model Dify does not tell.
    pub assumed_model: Option<ModelName>,
    /// What the user said.
    pub text: Text,
    /// How much usually goes into a model call, with what the app adds to that; 0 where nobody knows.
    pub usual_input_tokens: u64,
    /// Whether the answer goes on where an earlier one was paused, so that its text is not all.
    pub is_continuation: bool,
}

/// Reads a copy of an answer and reports what was used:
///
/// 1. what its nodes used, each with its own model (chatflows and workflows). Only leaves count: an
///    iteration's or a loop's total is the sum of nodes that are reported themselves;
/// 2. else the usage of `message_end`, or of a blocking answer (basic apps);
/// 3. else the total of `workflow_finished`, whose split is unknown: all of it as input;
/// 4. else an estimate from the text that went by, and from what usually goes in.
///
/// It keeps no text, and of what is large in an event or an answer only that it was there.
#[derive(Debug)]
pub struct Meter {
    copy: Copy,
    seen: Seen,
}

#[derive(Debug)]
enum Copy {
    Stream(EventReader),
    Answer(Skimmer),
}

impl Meter {
    /// Of server-sent events.
    #[must_use]
    pub fn stream() -> Self {
        Self::of(Copy::Stream(EventReader::default()))
    }

    /// Of a blocking answer: one JSON object.
    #[must_use]
    pub fn answer() -> Self {
        Self::of(Copy::Answer(Skimmer::default()))
    }

    fn of(copy: Copy) -> Self {
        Self {
            copy,
            seen: Seen::default(),
        }
    }

    /// Takes the next bytes, cut anywhere.
    pub fn read(&mut self, bytes: &[u8]) {
        match &mut self.copy {
            Copy::Stream(events) => events.read(bytes, |event| self.seen.see(event)),
            Copy::Answer(json) => bytes.iter().for_each(|byte| json.push(*byte)),
        }
    }

    /// Whether the stream has told that its run is paused or has ended: nothing more is to come.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.seen.is_over()
    }

    /// As [`Seen::pause`], of what was read so far.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.seen.pause()
    }

    /// The answer has ended, or broke off.
    #[must_use]
    pub fn finish(mut self) -> Seen {
        match self.copy {
            Copy::Stream(events) => events.finish(|event| self.seen.see(event)),
            Copy::Answer(mut json) => match json.take() {
                Ok(answer) => {
                    if let Ok(answer) = serde_json::from_slice(&answer) {
                        self.seen.see_answer(&answer);
                    }
                }
                Err(start) => self.seen.start_of_unread = Some(start),
            },
        }
        self.seen
    }

    /// As [`Seen::report`], of all that was read.
    #[must_use]
    pub fn report(self, asked: &Asked) -> Option<MessageUsage> {
        self.finish().report(asked)
    }
}

/// How far the run of a chatflow or a workflow is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Run {
    #[default]
    Running,
    /// It needs a person's input, and may still do something else meanwhile.
    Waiting,
    Paused,
    Ended,
}

/// A run that waits for a person's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub run_id: String,
    /// What the run is charged as: of a chatflow its message.
    pub message_id: String,
    /// Whoever has one of them can submit the form that is waited for.
    pub form_tokens: Vec<String>,
}

/// What an answer said.
#[derive(Debug, Default)]
pub struct Seen {
    run: Run,
    form_tokens: Vec<String>,
    /// The answer was too long to be read.
    start_of_unread: Option<Vec<u8>>,
    message_id: Option<String>,
    run_id: Option<String>,
    conversation_id: Option<String>,
    created_at: Option<Timestamp>,
    /// By execution id.
    nodes: BTreeMap<String, Node>,
    usage: Option<Usage>,
    is_annotation: bool,
    /// The last total of the whole run.
    run_total: Option<u64>,
    text: Text,
    /// Of nodes that are running, by node id.
    texts: BTreeMap<String, Text>,
}

/// One execution of a node.
#[derive(Debug)]
struct Node {
    node_id: String,
    model_name: Option<ModelName>,
    used: Used,
}

#[derive(Debug, Clone, Copy)]
enum Used {
    /// It has not said yet.
    Running,
    Reported(Tokens),
    /// All that is known is a sum, or some text.
    Estimated(Tokens),
}

/// Dify's `usage` object.
#[derive(Debug)]
struct Usage {
    tokens: Tokens,
    /// Dify's own "no model ran", as for an answer from moderation or an annotation: a model that
    /// does not count tokens still takes time, and one that was stopped does too.
    is_of_no_model: bool,
}

impl Usage {
    fn of(usage: &Value) -> Option<Self> {
        let input = count(usage, "prompt_tokens");
        let output = count(usage, "completion_tokens");
        input.or(output)?;
        let is_nothing = |name| usage.get(name).is_none_or(is_zero);
        Some(Self {
            tokens: Tokens::new(input.unwrap_or(0), output.unwrap_or(0)),
            is_of_no_model: usage.get("latency").is_some_and(is_zero)
                && is_nothing("prompt_unit_price")
                && is_nothing("completion_unit_price"),
        })
    }
}

/// Whether a number is zero, in whatever notation it comes: `0`, `0.0`, `"0E-7"`. Null counts too.
fn is_zero(value: &Value) -> bool {
    let text = match value {
        Value::Null => return true,
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    !digits.contains(|char: char| !matches!(char, '0' | '.' | '-' | '+'))
}

/// A count that the ledger can hold.
fn count(object: &Value, name: &str) -> Option<u64> {
    let count = object.get(name)?.as_u64()?;
    i64::try_from(count).is_ok().then_some(count)
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

fn id(object: &Value, name: &str) -> Option<String> {
    checked_id(text(object, name)?).ok().map(str::to_owned)
}

impl Seen {
    fn see(&mut self, event: &Value) {
        let kind = text(event, "event").unwrap_or_default();
        let data = event.get("data").unwrap_or(&Value::Null);
        self.see_ids(event, data);
        match kind {
            "message" | "agent_message" => self.see_text(event, "answer"),
            "text_chunk" => self.see_text(data, "text"),
            "message_end" => {
                // Old versions of Dify name the message only as `id`.
                self.message_id = self.message_id.take().or_else(|| id(event, "id"));
                self.see_metadata(event);
            }
            "node_started" => self.see_node(data, false),
            "node_finished" => self.see_node(data, true),
            "human_input_required" => {
                self.run = Run::Waiting;
                self.see_form(data);
            }
            "workflow_paused" => self.see_run(data, Run::Paused),
            "workflow_finished" => self.see_run(data, Run::Ended),
            _ => {}
        }
    }

    fn see_answer(&mut self, answer: &Value) {
        let data = answer.get("data").unwrap_or(&Value::Null);
        self.see_ids(answer, data);
        self.see_text(answer, "answer");
        self.see_metadata(answer);
        let is_paused = text(answer, "event") == Some("workflow_paused")
            || text(data, "status") == Some("paused");
        self.see_run(data, if is_paused { Run::Paused } else { Run::Ended });
    }

    fn see_run(&mut self, data: &Value, run: Run) {
        self.run = run;
        self.run_total = count(data, "total_tokens").or(self.run_total);
        let reasons = data.get("reasons").and_then(Value::as_array);
        for reason in reasons.into_iter().flatten() {
            self.see_form(reason);
        }
    }

    fn see_form(&mut self, form: &Value) {
        if let Some(token) = id(form, "form_token")
            && self.form_tokens.len() < FORMS_MAX
            && !self.form_tokens.contains(&token)
        {
            self.form_tokens.push(token);
        }
    }

    fn see_ids(&mut self, event: &Value, data: &Value) {
        let keep = |known: &mut Option<String>, name| {
            if known.is_none() {
                *known = id(event, name);
            }
        };
        keep(&mut self.message_id, "message_id");
        keep(&mut self.run_id, "workflow_run_id");
        keep(&mut self.conversation_id, "conversation_id");
        if self.run_id.is_none() {
            self.run_id = id(data, "workflow_run_id");
        }
        self.created_at = self.created_at.or_else(|| {
            let created_at = event.get("created_at").or_else(|| data.get("created_at"))?;
            Timestamp::from_unix_seconds(created_at.as_i64()?)
        });
    }

    fn see_metadata(&mut self, event: &Value) {
        let Some(metadata) = event.get("metadata") else {
            return;
        };
        self.usage = metadata.get("usage").and_then(Usage::of);
        self.is_annotation = metadata
            .get("annotation_reply")
            .is_some_and(|reply| !reply.is_null());
    }

    fn see_text(&mut self, object: &Value, name: &str) {
        let Some(text) = text(object, name) else {
            return;
        };
        self.text.add(text);
        let node_id = object.pointer("/from_variable_selector/0");
        if let Some(node_id) = node_id.and_then(Value::as_str) {
            self.texts.entry(node_id.to_owned()).or_default().add(text);
        }
    }

    fn see_node(&mut self, data: &Value, is_finished: bool) {
        let kind = text(data, "node_type").unwrap_or_default();
        let Some(execution_id) = id(data, "id") else {
            return;
        };
        // Their totals are those of nodes that are reported themselves.
        if matches!(kind, "iteration" | "loop") {
            return;
        }
        let node_id = text(data, "node_id").unwrap_or_default();
        if is_finished {
            self.texts.remove(node_id);
        }
        let used = match (is_finished, kind) {
            (true, _) => used(kind, data),
            // Of others there is no text that would tell what they used so far.
            (false, "llm") => Some(Used::Running),
            (false, _) => None,
        };
        match used {
            Some(used) => {
                let node = Node {
                    node_id: node_id.to_owned(),
                    model_name: ["/process_data/model_name", "/inputs/model_name"]
                        .into_iter()
                        .find_map(|path| data.pointer(path)?.as_str()?.parse().ok()),
                    used,
                };
                self.nodes.insert(execution_id, node);
            }
            None => {
                self.nodes.remove(&execution_id);
            }
        }
    }

    /// What the message used, as far as the answer went; `None` when it names no message and no run,
    /// and for a continuation that tells nothing.
    #[must_use]
    pub fn report(&self, asked: &Asked) -> Option<MessageUsage> {
        let (calls, evidence) = self.calls(asked)?;
        self.message(asked, calls, evidence)
    }

    /// What the whole run used so far, as its one total, where that is told.
    #[must_use]
    pub fn total(&self, asked: &Asked) -> Option<MessageUsage> {
        let total = self.run_total.filter(|total| *total > 0)?;
        let (calls, evidence) = one(asked, Tokens::new(total, 0), Evidence::Estimated)?;
        self.message(asked, calls, evidence)
    }

    /// The run that is to go on after the answer, if it does.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        matches!(self.run, Run::Waiting | Run::Paused).then(|| self.to_be_followed())?
    }

    /// The same of a continuation that broke off: its run goes on, with what is not told here.
    #[must_use]
    pub fn rest(&self) -> Option<Pause> {
        (self.run == Run::Running).then(|| self.to_be_followed())?
    }

    fn to_be_followed(&self) -> Option<Pause> {
        let run_id = self.run_id.clone()?;
        Some(Pause {
            message_id: self.message_id.clone().unwrap_or_else(|| run_id.clone()),
            run_id,
            form_tokens: self.form_tokens.clone(),
        })
    }

    const fn is_over(&self) -> bool {
        matches!(self.run, Run::Paused | Run::Ended)
    }

    /// The run that has come to its end with the answer.
    #[must_use]
    pub fn ended_run(&self) -> Option<&str> {
        self.run_id.as_deref().filter(|_| self.run == Run::Ended)
    }

    /// The beginning of an answer that was too long to be read: what it used is not known.
    #[must_use]
    pub fn start_of_unread(&self) -> Option<&[u8]> {
        self.start_of_unread.as_deref()
    }

    fn message(
        &self,
        asked: &Asked,
        calls: Vec<ModelCall>,
        evidence: Evidence,
    ) -> Option<MessageUsage> {
        let (message_id, also_known_as) = match (self.message_id.clone(), self.run_id.clone()) {
            (Some(message_id), run_id) => (message_id, run_id.into_iter().collect()),
            (None, run_id) => (run_id?, Vec::new()),
        };
        Some(MessageUsage {
            message_id,
            also_known_as,
            user_id: asked.user_id.clone(),
            conversation_id: self.conversation_id.clone(),
            request_id: None,
            occurred_at: self.created_at,
            has_answer: !calls.is_empty() && !self.text.is_empty(),
            calls,
            reported_total: self.run_total.filter(|_| asked.is_continuation),
            evidence,
        })
    }

    fn calls(&self, asked: &Asked) -> Option<(Vec<ModelCall>, Evidence)> {
        let leaves = self.leaves(asked);
        if !leaves.is_empty() {
            let mut evidence = Evidence::Reported;
            let mut calls = Vec::with_capacity(leaves.len());
            for (call_id, model_name, tokens, how_good) in leaves {
                evidence = evidence.min(how_good);
                if model_name.is_none() {
                    evidence = evidence.min(Evidence::AssumedModel);
                }
                calls.push(ModelCall {
                    call_id: Some(call_id),
                    model_name: model_name.or_else(|| assumed_model(asked))?,
                    tokens,
                });
            }
            return Some((calls, evidence));
        }
        match (&self.usage, self.run_total) {
            (Some(usage), _) if usage.tokens.total() > 0 => {
                one(asked, usage.tokens, Evidence::AssumedModel)
            }
            (Some(usage), _) if usage.is_of_no_model || self.is_annotation => {
                Some((Vec::new(), Evidence::Reported))
            }
            (_, Some(total)) if total > 0 => one(asked, Tokens::new(total, 0), Evidence::Estimated),
            (None, Some(_)) => Some((Vec::new(), Evidence::Reported)),
            // Nobody told: the answer broke off, or a stopped app told zero, or the model does not
            // count. The text of a continuation is not that of the whole message.
            _ if asked.is_continuation => None,
            _ if self.text.is_empty() => Some((Vec::new(), Evidence::Estimated)),
            _ => one(
                asked,
                Tokens::new(
                    asked.text.tokens().max(asked.usual_input_tokens),
                    self.text.tokens(),
                ),
                Evidence::Estimated,
            ),
        }
    }

    /// Execution id, model, tokens, and how good that is, of each node that used some.
    fn leaves(&self, asked: &Asked) -> Vec<(String, Option<ModelName>, Tokens, Evidence)> {
        let leaf = |(id, node): (&String, &Node)| {
            let (tokens, evidence) = match node.used {
                Used::Reported(tokens) => (tokens, Evidence::Reported),
                Used::Estimated(tokens) => (tokens, Evidence::Estimated),
                // What goes on is told by whoever follows it: that is not to be guessed.
                Used::Running if asked.is_continuation && !self.is_over() => return None,
                // Stopped, or broken off, while it spoke.
                Used::Running => {
                    let text = self.texts.get(&node.node_id)?;
                    let input = asked.text.tokens().max(asked.usual_input_tokens);
                    (Tokens::new(input, text.tokens()), Evidence::Estimated)
                }
            };
            (tokens.total() > 0).then(|| (id.clone(), node.model_name.clone(), tokens, evidence))
        };
        self.nodes.iter().filter_map(leaf).collect()
    }
}

/// The model of what does not tell its model.
fn assumed_model(asked: &Asked) -> Option<ModelName> {
    match &asked.assumed_model {
        Some(model_name) => Some(model_name.clone()),
        None => UNKNOWN_MODEL.parse().ok(),
    }
}

/// Tokens of a message as a whole.
fn one(asked: &Asked, tokens: Tokens, evidence: Evidence) -> Option<(Vec<ModelCall>, Evidence)> {
    let call = ModelCall {
        call_id: None,
        model_name: assumed_model(asked)?,
        tokens,
    };
    Some((vec![call], evidence))
}

/// What a finished node used, if it says anything of the kind.
fn used(kind: &str, data: &Value) -> Option<Used> {
    // `outputs` of other nodes are what their author put there, perhaps the usage of another node.
    let tells_in_outputs = matches!(
        kind,
        "llm" | "question-classifier" | "parameter-extractor" | "knowledge-retrieval" | "agent"
    );
    let usage = data
        .pointer("/process_data/usage")
        .and_then(Usage::of)
        .or_else(|| {
            let usage = data.pointer("/outputs/usage").filter(|_| tells_in_outputs);
            usage.and_then(Usage::of)
        });
    match usage {
        Some(usage) if usage.tokens.total() > 0 || usage.is_of_no_model => {
            return Some(Used::Reported(usage.tokens));
        }
        _ => {}
    }
    // A tool, among them a workflow used as one, tells a sum at best.
    let total = data
        .get("execution_metadata")
        .and_then(|metadata| count(metadata, "total_tokens"))
        .unwrap_or(0);
    if total > 0 {
        return Some(Used::Estimated(Tokens::new(total, 0)));
    }
    // A model that does not count: by what it was told and what it said.
    let answer = data.pointer("/outputs/text")?.as_str()?;
    if kind != "llm" || answer.is_empty() {
        return None;
    }
    let (mut told, mut said) = (Text::default(), Text::default());
    said.add(answer);
    if let Some(prompts) = data.pointer("/process_data/prompts") {
        let prompts = prompts.as_array().map_or(&[][..], Vec::as_slice);
        prompts
            .iter()
            .filter_map(|prompt| text(prompt, "text"))
            .for_each(|text| told.add(text));
    }
    Some(Used::Estimated(Tokens::new(told.tokens(), said.tokens())))
}
