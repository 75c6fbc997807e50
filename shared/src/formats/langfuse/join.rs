//! From the parts of a trace to messages.

use std::iter;

use super::part::{Part, PartKind};
use crate::ids::{ModelName, UserId};
use crate::tokens::Tokens;
use crate::usage::Evidence;
use crate::usage::message::model_or_unknown;
use crate::usage::{MessageUsage, ModelCall};

/// A part, and whether nothing more is to be expected for it.
#[derive(Debug, Clone, Copy)]
pub struct AgedPart<'a> {
    pub part: &'a Part,
    pub is_old: bool,
}

/// What can be told of a trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TraceUsage {
    pub messages: Vec<TraceMessage>,
    /// The parts, by their place, that tell of tokens and still miss something: a user, the tokens
    /// themselves, or the calls.
    pub incomplete: Vec<usize>,
    /// Whether all is there that the trace itself announced.
    pub is_complete: bool,
}

/// One message, or what is known of it.
#[derive(Debug, PartialEq, Eq)]
pub struct TraceMessage {
    pub message: MessageUsage,
    /// The parts that it is made of, by their place.
    pub parts: Vec<usize>,
}

/// Joins the calls of a trace with the users that the trace names. Calls without a call id are
/// messages of their own. A part that is old is taken as it is; `assumed_model` stands in where no
/// model is told.
#[must_use]
pub fn join(
    trace_id: &str,
    parts: &[AgedPart<'_>],
    assumed_model: Option<&ModelName>,
) -> TraceUsage {
    let of_kind = |kind| {
        let parts = parts.iter().enumerate();
        parts.filter(move |(_, part)| part.part.kind == kind)
    };
    let mut usage = TraceUsage::default();
    // Calls by the trace they belong to; last, those that have none.
    let heads: Vec<_> = of_kind(PartKind::Trace).collect();
    let mut calls_of: Vec<Vec<usize>> = vec![Vec::new(); heads.len() + 1];
    for (place, call) in of_kind(PartKind::Call) {
        let of = heads
            .iter()
            .enumerate()
            .filter_map(|(of, (_, head))| Some((kinship(head.part, call.part)?, of)))
            // The first of those that are equally close.
            .max_by_key(|(kinship, of)| (*kinship, usize::MAX - of))
            .map_or(heads.len(), |(_, of)| of);
        if let Some(calls) = calls_of.get_mut(of) {
            calls.push(place);
        }
    }
    let mut is_announced = !heads.is_empty();
    for (head, calls) in heads
        .into_iter()
        .map(Some)
        .chain(iter::once(None))
        .zip(calls_of)
    {
        let calls_of_head = TraceCalls {
            trace_id,
            parts,
            head,
            assumed_model,
        };
        is_announced &= calls_of_head.is_announced(&calls);
        calls_of_head.report(calls, &mut usage);
    }
    usage.is_complete = is_announced && usage.incomplete.is_empty();
    usage
}

/// How surely a call belongs to a trace of the same id: `None` when it cannot.
fn kinship(head: &Part, call: &Part) -> Option<u8> {
    let mut kinship = 0;
    for (of_head, of_call) in [
        (&head.workflow_run_id, &call.workflow_run_id),
        (&head.message_id, &call.message_id),
    ] {
        match (of_head, of_call) {
            (Some(one), Some(other)) if one != other => return None,
            (Some(_), Some(_)) => kinship += 1,
            _ => {}
        }
    }
    Some(kinship)
}

/// Calls that belong to one trace, or to none.
struct TraceCalls<'a> {
    trace_id: &'a str,
    parts: &'a [AgedPart<'a>],
    head: Option<(usize, &'a AgedPart<'a>)>,
    assumed_model: Option<&'a ModelName>,
}

impl<'a> TraceCalls<'a> {
    fn at(&self, place: usize) -> Option<&'a AgedPart<'a>> {
        self.parts.get(place)
    }

    fn head(&self) -> Option<&'a Part> {
        self.head.map(|(_, head)| head.part)
    }

    /// Whether the calls are all that their trace announces.
    fn is_announced(&self, calls: &[usize]) -> bool {
        let Some(head) = self.head() else {
            return calls.is_empty();
        };
        if head.tokens.is_some() {
            // A basic app: one call, with no id.
            return !calls.is_empty();
        }
        let used = calls
            .iter()
            .filter_map(|place| self.at(*place)?.part.tokens);
        let used = used.fold(0, |sum: u64, tokens| sum.saturating_add(tokens.total()));
        head.total_tokens
            .is_some_and(|announced| announced <= used && announced > 0)
    }

    fn report(&self, calls: Vec<usize>, usage: &mut TraceUsage) {
        if calls.is_empty() {
            self.report_head(usage);
            return;
        }
        let mut itemized = Vec::new();
        for place in calls {
            let Some(call) = self.at(place) else { continue };
            if self.user(call).is_none() || (call.part.tokens.is_none() && !call.is_old) {
                usage.incomplete.push(place);
            } else if call.part.call_id.is_some() {
                itemized.push(place);
            } else {
                usage.messages.extend(self.message(vec![place]));
            }
        }
        usage.messages.extend(self.message(itemized));
    }

    /// A trace without calls: that of a basic app tells enough by itself, once nothing more is
    /// expected; others used tokens that nobody itemized, or none.
    fn report_head(&self, usage: &mut TraceUsage) {
        let Some((place, head)) = self.head else {
            return;
        };
        let is_used = head.part.tokens.is_some_and(|tokens| tokens.total() > 0);
        if is_used && head.is_old && head.part.user_id.is_some() {
            usage.messages.extend(self.message(vec![place]));
        } else if is_used || head.part.total_tokens.is_some_and(|total| total > 0) {
            usage.incomplete.push(place);
        }
    }

    /// The trace names the user. A call of a basic app does so too, which helps when its trace is
    /// lost.
    fn user(&self, call: &AgedPart<'a>) -> Option<&'a UserId> {
        let of_call = call.part.user_id.as_ref().filter(|_| call.is_old);
        self.head()
            .and_then(|head| head.user_id.as_ref())
            .or(of_call)
    }

    fn message(&self, mut places: Vec<usize>) -> Option<TraceMessage> {
        let parts: Vec<&Part> = places
            .iter()
            .filter_map(|place| Some(self.at(*place)?.part))
            .collect();
        let first = places.first().and_then(|place| self.at(*place))?;
        let head = self.head();
        let (message_id, also_known_as) = self.ids(&parts);
        let (calls, evidence) = self.model_calls(&parts)?;
        let message = MessageUsage {
            message_id,
            also_known_as,
            user_id: self.user(first)?.clone(),
            conversation_id: with_head(head, &parts).find_map(|part| part.conversation_id.clone()),
            request_id: None,
            occurred_at: parts
                .iter()
                .filter_map(|part| part.occurred_at)
                .min()
                .or_else(|| head.and_then(|head| head.occurred_at)),
            reported_total: untold_total(&parts),
            has_answer: has_answer(&parts),
            calls,
            evidence,
            assumed_model: None,
        };
        places.extend(
            self.head
                .map(|(place, _)| place)
                .filter(|place| !places.contains(place)),
        );
        Some(TraceMessage {
            message,
            parts: places,
        })
    }

    /// The message's id, and its others.
    fn ids(&self, parts: &[&Part]) -> (String, Vec<String>) {
        let head = self.head();
        let message_id = with_head(head, parts).find_map(|part| part.message_id.clone());
        let run_id = with_head(head, parts).find_map(|part| part.workflow_run_id.clone());
        // Dify calls a chatflow's trace by the message, which it tells nowhere else.
        let is_by_message = head.is_none_or(|head| head.is_message) && looks_made(self.trace_id);
        let by_trace = is_by_message.then(|| self.trace_id.to_owned());
        let ids: Vec<String> = [message_id.or(by_trace), run_id]
            .into_iter()
            .flatten()
            .collect();
        match ids.split_first() {
            Some((first, others)) => (
                first.clone(),
                others.iter().filter(|id| *id != first).cloned().collect(),
            ),
            None => (self.trace_id.to_owned(), Vec::new()),
        }
    }

    fn model_calls(&self, parts: &[&Part]) -> Option<(Vec<ModelCall>, Evidence)> {
        let of_head = self.head().and_then(|head| head.model_name.as_ref());
        let mut evidence = Evidence::Measured;
        let mut calls = Vec::with_capacity(parts.len());
        for part in parts {
            let told = part.model_name.as_ref().or(of_head);
            let of_call = match told {
                Some(_) => Evidence::Measured,
                None => Evidence::ModelAssumed,
            };
            evidence = evidence.min(of_call);
            let model_name = match told {
                Some(name) => name.clone(),
                None => model_or_unknown(self.assumed_model)?,
            };
            calls.push(ModelCall {
                call_id: part.call_id.clone(),
                model_name,
                tokens: part.tokens.unwrap_or_default(),
                evidence: Some(of_call),
            });
        }
        Some((calls, evidence))
    }
}

/// The trace itself, if it is there, and parts of it.
fn with_head<'a>(head: Option<&'a Part>, parts: &[&'a Part]) -> impl Iterator<Item = &'a Part> {
    head.into_iter().chain(parts.iter().copied())
}

/// Whether an id was made by Dify, and not chosen by whoever called it.
fn looks_made(id: &str) -> bool {
    let lengths = id.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && id.chars().all(|it| it == '-' || it.is_ascii_hexdigit())
}

/// Whether there is an answer: where calls used nothing, of one of those.
fn has_answer(parts: &[&Part]) -> bool {
    let is_free = |part: &Part| part.tokens.unwrap_or_default().total() == 0;
    let has_free = parts.iter().any(|part| is_free(part));
    let mut parts = parts.iter().filter(|part| !has_free || is_free(part));
    parts.any(|part| part.has_answer)
}

/// A total where the tokens themselves are all zero: somebody used them, and nobody told which.
fn untold_total(parts: &[&Part]) -> Option<u64> {
    let untold = |part: &&&Part| {
        part.tokens
            .is_some_and(|tokens| tokens == Tokens::default())
    };
    let is_untold = parts
        .iter()
        .filter(untold)
        .any(|part| part.total_tokens.is_some_and(|total| total > 0));
    is_untold.then(|| {
        parts.iter().fold(0, |sum: u64, part| {
            let counted = part.tokens.unwrap_or_default().total();
            sum.saturating_add(counted.max(part.total_tokens.unwrap_or(0)))
        })
    })
}
