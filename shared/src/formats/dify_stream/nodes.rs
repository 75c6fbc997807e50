//! What the nodes of a run used.

use std::collections::BTreeMap;

use serde_json::Value;

use super::usage_object::{UsageObject, count, id, text};
use crate::ids::ModelName;
use crate::tokens::Tokens;
use crate::usage::Evidence;
use crate::usage::TextAmount;

/// The nodes of a run that call models, and the text of those that are running.
#[derive(Debug, Default)]
pub struct Nodes {
    /// By execution id.
    executions: BTreeMap<String, Execution>,
    /// By node id.
    texts: BTreeMap<String, TextAmount>,
}

/// One execution of a node.
#[derive(Debug)]
struct Execution {
    node_id: String,
    model_name: Option<ModelName>,
    usage: NodeUsage,
}

#[derive(Debug, Clone, Copy)]
enum NodeUsage {
    /// It has not said yet.
    Running,
    Reported(Tokens),
    /// All that is known is a sum.
    Summed(Tokens),
    /// All that is known is some text.
    Estimated(Tokens),
}

/// A node that used some tokens.
#[derive(Debug)]
pub struct NodeCall {
    pub execution_id: String,
    pub model_name: Option<ModelName>,
    pub tokens: Tokens,
    pub evidence: Evidence,
}

impl Nodes {
    pub fn start(&mut self, data: &Value) {
        // Of other nodes there is no text that would tell what they used so far.
        let is_model = text(data, "node_type") == Some("llm");
        if let Some(execution_id) = execution_id(data) {
            let usage = is_model.then_some(NodeUsage::Running);
            self.keep(execution_id, data, usage);
        }
    }

    pub fn finish(&mut self, data: &Value) {
        if let Some(execution_id) = execution_id(data) {
            self.texts.remove(text(data, "node_id").unwrap_or_default());
            self.keep(execution_id, data, finished_usage(data));
        }
    }

    /// A node that is running said something.
    pub fn add_text(&mut self, node_id: &str, text: &str) {
        self.texts.entry(node_id.to_owned()).or_default().add(text);
    }

    fn keep(&mut self, execution_id: String, data: &Value, usage: Option<NodeUsage>) {
        let Some(usage) = usage else {
            self.executions.remove(&execution_id);
            return;
        };
        let execution = Execution {
            node_id: text(data, "node_id").unwrap_or_default().to_owned(),
            model_name: ["/process_data/model_name", "/inputs/model_name"]
                .into_iter()
                .find_map(|path| data.pointer(path)?.as_str()?.parse().ok()),
            usage,
        };
        self.executions.insert(execution_id, execution);
    }

    /// What each node used, if it used some. A model that is running and has said something is taken
    /// to have been given `input_of_running` tokens; `None` leaves it out.
    pub fn calls(&self, input_of_running: Option<u64>) -> Vec<NodeCall> {
        let call = |(id, execution): (&String, &Execution)| {
            let (tokens, evidence) = match execution.usage {
                NodeUsage::Reported(tokens) => (tokens, Evidence::Measured),
                NodeUsage::Summed(tokens) => (tokens, Evidence::Summed),
                NodeUsage::Estimated(tokens) => (tokens, Evidence::Estimated),
                NodeUsage::Running => {
                    let output = self.texts.get(&execution.node_id)?.tokens();
                    let tokens = Tokens::new(input_of_running?, output);
                    (tokens, Evidence::Estimated)
                }
            };
            (tokens.total() > 0).then(|| NodeCall {
                execution_id: id.clone(),
                model_name: execution.model_name.clone(),
                tokens,
                evidence,
            })
        };
        self.executions.iter().filter_map(call).collect()
    }
}

/// The execution that an event is about. Those of iterations and loops do not count: their totals are
/// those of nodes that are reported themselves.
fn execution_id(data: &Value) -> Option<String> {
    let is_container = matches!(text(data, "node_type"), Some("iteration" | "loop"));
    id(data, "id").filter(|_| !is_container)
}

/// What a finished node used, if it says anything of the kind.
fn finished_usage(data: &Value) -> Option<NodeUsage> {
    let kind = text(data, "node_type").unwrap_or_default();
    // `outputs` of other nodes are what their author put there, perhaps the usage of another node.
    let tells_in_outputs = matches!(
        kind,
        "llm" | "question-classifier" | "parameter-extractor" | "knowledge-retrieval" | "agent"
    );
    let usage = data
        .pointer("/process_data/usage")
        .and_then(UsageObject::of)
        .or_else(|| {
            let usage = data.pointer("/outputs/usage").filter(|_| tells_in_outputs);
            usage.and_then(UsageObject::of)
        });
    match usage {
        Some(usage) if usage.tokens.total() > 0 || usage.is_of_no_model => {
            return Some(NodeUsage::Reported(usage.tokens));
        }
        _ => {}
    }
    // A tool, among them a workflow used as one, tells a sum at best.
    let total = data
        .get("execution_metadata")
        .and_then(|metadata| count(metadata, "total_tokens"))
        .unwrap_or(0);
    if total > 0 {
        return Some(NodeUsage::Summed(Tokens::new(total, 0)));
    }
    match kind {
        "llm" => text_usage(data),
        _ => None,
    }
}

/// What a model that does not count used: by what it was told and what it said.
fn text_usage(data: &Value) -> Option<NodeUsage> {
    let answer = data.pointer("/outputs/text")?.as_str()?;
    if answer.is_empty() {
        return None;
    }
    let (mut input, mut output) = (TextAmount::default(), TextAmount::default());
    output.add(answer);
    let prompts = data
        .pointer("/process_data/prompts")
        .and_then(Value::as_array);
    prompts
        .into_iter()
        .flatten()
        .filter_map(|prompt| text(prompt, "text"))
        .for_each(|text| input.add(text));
    let tokens = Tokens::new(input.tokens(), output.tokens());
    Some(NodeUsage::Estimated(tokens))
}
