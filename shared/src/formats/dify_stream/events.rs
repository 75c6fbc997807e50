//! What the events of a stream, or a blocking answer, say of usage.

use serde_json::Value;

use super::answer::{AnswerUsage, Run};
use super::usage_object::{UsageObject, count, id, text};
use crate::clock::Timestamp;

/// Forms that a run may wait for at once.
const FORMS_MAX: usize = 32;

/// Adds what an event says, if it is JSON; a ping carries none.
pub fn read_event(usage: &mut AnswerUsage, data: &[u8]) {
    if let Ok(event) = serde_json::from_slice(data) {
        usage.add_event(&event);
    }
}

/// Adds what a blocking answer says, if it is JSON.
pub fn read_answer(usage: &mut AnswerUsage, answer: &[u8]) {
    if let Ok(answer) = serde_json::from_slice(answer) {
        usage.add_answer(&answer);
    }
}

impl AnswerUsage {
    fn add_event(&mut self, event: &Value) {
        let kind = text(event, "event").unwrap_or_default();
        let data = event.get("data").unwrap_or(&Value::Null);
        self.add_ids(event, data);
        match kind {
            "message" | "agent_message" => self.add_text(event, "answer"),
            "text_chunk" => self.add_text(data, "text"),
            "message_end" => {
                // Old versions of Dify name the message only as `id`.
                self.message_id = self.message_id.take().or_else(|| id(event, "id"));
                self.add_metadata(event);
            }
            "node_started" => self.nodes.start(data),
            "node_finished" => self.nodes.finish(data),
            "human_input_required" => {
                self.run = Run::Waiting;
                self.add_form(data);
            }
            "workflow_paused" => self.add_run(data, Run::Paused),
            "workflow_finished" => self.add_run(data, Run::Ended),
            _ => {}
        }
    }

    fn add_answer(&mut self, answer: &Value) {
        let data = answer.get("data").unwrap_or(&Value::Null);
        self.add_ids(answer, data);
        self.add_text(answer, "answer");
        self.add_metadata(answer);
        let is_paused = text(answer, "event") == Some("workflow_paused")
            || text(data, "status") == Some("paused");
        self.add_run(data, if is_paused { Run::Paused } else { Run::Ended });
    }

    fn add_run(&mut self, data: &Value, run: Run) {
        self.run = run;
        self.run_total = count(data, "total_tokens").or(self.run_total);
        let reasons = data.get("reasons").and_then(Value::as_array);
        for reason in reasons.into_iter().flatten() {
            self.add_form(reason);
        }
    }

    fn add_form(&mut self, form: &Value) {
        if let Some(token) = id(form, "form_token")
            && self.form_tokens.len() < FORMS_MAX
            && !self.form_tokens.contains(&token)
        {
            self.form_tokens.push(token);
        }
    }

    fn add_ids(&mut self, event: &Value, data: &Value) {
        let keep_first = |known: &mut Option<String>, name| {
            if known.is_none() {
                *known = id(event, name);
            }
        };
        keep_first(&mut self.message_id, "message_id");
        keep_first(&mut self.run_id, "workflow_run_id");
        keep_first(&mut self.conversation_id, "conversation_id");
        if self.run_id.is_none() {
            self.run_id = id(data, "workflow_run_id");
        }
        self.created_at = self.created_at.or_else(|| {
            let created_at = event.get("created_at").or_else(|| data.get("created_at"))?;
            Timestamp::from_unix_seconds(created_at.as_i64()?)
        });
    }

    fn add_metadata(&mut self, event: &Value) {
        let Some(metadata) = event.get("metadata") else {
            return;
        };
        self.usage = metadata.get("usage").and_then(UsageObject::of);
        self.is_annotation = metadata
            .get("annotation_reply")
            .is_some_and(|reply| !reply.is_null());
    }

    fn add_text(&mut self, object: &Value, name: &str) {
        let Some(text) = text(object, name) else {
            return;
        };
        self.text.add(text);
        let node_id = object.pointer("/from_variable_selector/0");
        if let Some(node_id) = node_id.and_then(Value::as_str) {
            self.nodes.add_text(node_id, text);
        }
    }
}
