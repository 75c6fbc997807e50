//! What an answer used, as far as it went.

use super::nodes::Nodes;
use super::usage_object::UsageObject;
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::tokens::Tokens;
use crate::usage::Evidence;
use crate::usage::message::model_or_unknown;
use crate::usage::{MessageUsage, ModelCall, TextAmount};

/// What is known of a call beside Dify's answer.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub user_id: UserId,
    /// The model of calls whose model Dify does not tell.
    pub assumed_model: Option<ModelName>,
    /// What the user said.
    pub text: TextAmount,
    /// How much usually goes into a model call, with what the app adds to that; 0 where nobody knows.
    pub usual_input_tokens: u64,
    /// Whether the answer goes on where an earlier one was paused, so that its text is not all.
    pub is_continuation: bool,
}

impl CallContext {
    /// About how many tokens go into a call of which nobody tells.
    fn input_tokens(&self) -> u64 {
        self.text.tokens().max(self.usual_input_tokens)
    }

    /// Tokens of a message as a whole.
    fn whole(&self, tokens: Tokens, evidence: Evidence) -> Option<(Vec<ModelCall>, Evidence)> {
        let call = ModelCall {
            call_id: None,
            model_name: model_or_unknown(self.assumed_model.as_ref())?,
            tokens,
            evidence: None,
        };
        Some((vec![call], evidence))
    }
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

/// How far the run of a chatflow or a workflow is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Run {
    #[default]
    Running,
    /// It needs a person's input, and may still do something else meanwhile.
    Waiting,
    Paused,
    Ended,
}

/// What an answer said of usage.
#[derive(Debug, Default)]
pub struct AnswerUsage {
    pub(super) run: Run,
    pub(super) form_tokens: Vec<String>,
    pub(super) start_of_unread: Option<Vec<u8>>,
    pub(super) message_id: Option<String>,
    pub(super) run_id: Option<String>,
    pub(super) conversation_id: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) nodes: Nodes,
    pub(super) usage: Option<UsageObject>,
    pub(super) is_annotation: bool,
    /// The last total of the whole run.
    pub(super) run_total: Option<u64>,
    /// All that was said.
    pub(super) text: TextAmount,
}

impl AnswerUsage {
    /// What the message used, as far as the answer went; `None` when it names no message and no run,
    /// and for a continuation that tells nothing.
    #[must_use]
    pub fn report(&self, context: &CallContext) -> Option<MessageUsage> {
        let (calls, evidence) = self.calls(context)?;
        self.message(context, calls, evidence)
    }

    /// What the whole run used so far, as its one total, where that is told.
    #[must_use]
    pub fn total(&self, context: &CallContext) -> Option<MessageUsage> {
        let total = self.run_total.filter(|total| *total > 0)?;
        let (calls, evidence) = context.whole(Tokens::new(total, 0), Evidence::Summed)?;
        self.message(context, calls, evidence)
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

    /// Whether the run is paused or has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
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
        context: &CallContext,
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
            user_id: context.user_id.clone(),
            conversation_id: self.conversation_id.clone(),
            request_id: None,
            occurred_at: self.created_at,
            has_answer: !calls.is_empty() && !self.text.is_empty(),
            calls,
            reported_total: self.run_total.filter(|_| context.is_continuation),
            evidence,
            assumed_model: context
                .is_continuation
                .then(|| model_or_unknown(context.assumed_model.as_ref()))
                .flatten(),
        })
    }

    fn calls(&self, context: &CallContext) -> Option<(Vec<ModelCall>, Evidence)> {
        let nodes = self.node_calls(context)?;
        if !nodes.0.is_empty() {
            return Some(nodes);
        }
        match (&self.usage, self.run_total) {
            (Some(usage), _) if usage.tokens.total() > 0 => {
                context.whole(usage.tokens, Evidence::ModelAssumed)
            }
            (Some(usage), _) if usage.is_of_no_model || self.is_annotation => {
                Some((Vec::new(), Evidence::Measured))
            }
            (_, Some(total)) if total > 0 => context.whole(Tokens::new(total, 0), Evidence::Summed),
            (None, Some(_)) => Some((Vec::new(), Evidence::Measured)),
            // Nobody told: the answer broke off, or a stopped app told zero, or the model does not
            // count. The text of a continuation is not that of the whole message.
            _ if context.is_continuation => None,
            _ if self.text.is_empty() => Some((Vec::new(), Evidence::Estimated)),
            _ => {
                let tokens = Tokens::new(context.input_tokens(), self.text.tokens());
                context.whole(tokens, Evidence::Estimated)
            }
        }
    }

    /// The calls of nodes, and how good the worst of them is told.
    fn node_calls(&self, context: &CallContext) -> Option<(Vec<ModelCall>, Evidence)> {
        // A model that runs was stopped, or broken off, while it spoke. What goes on is told by
        // whoever follows it: that is not to be guessed.
        let goes_on = context.is_continuation && !self.is_over();
        let input_of_running = (!goes_on).then(|| context.input_tokens());
        let mut evidence = Evidence::Measured;
        let mut calls = Vec::new();
        for node in self.nodes.calls(input_of_running) {
            let of_call = match node.model_name {
                Some(_) => node.evidence,
                None => node.evidence.min(Evidence::ModelAssumed),
            };
            evidence = evidence.min(of_call);
            calls.push(ModelCall {
                call_id: Some(node.execution_id),
                model_name: node
                    .model_name
                    .or_else(|| model_or_unknown(context.assumed_model.as_ref()))?,
                tokens: node.tokens,
                evidence: Some(of_call),
            });
        }
        Some((calls, evidence))
    }
}
