//! From the parts of a trace to messages.

use std::iter;

use super::{Part, PartKind};
use crate::dify::{Evidence, MessageUsage, ModelCall};
use crate::ids::{ModelName, UserId};
use crate::tokens::Tokens;

/// The model of a call that nobody names. Its message waits in quarantine, like that of any model
/// without a price.
const UNNAMED_MODEL: &str = "unknown";

/// A part, and whether nothing more is to be expected for it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub part: &'a Part,
    pub is_old: bool,
}

/// What can be told of a trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub reports: Vec<Report>,
    /// The parts, by their place, that tell of tokens and still miss something: a user, the tokens
    /// themselves, or the calls.
    pub incomplete: Vec<usize>,
    /// Whether all is there that the trace itself announced.
    pub is_complete: bool,
}

/// One message, or what is known of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub message: MessageUsage,
    /// The parts that it is made of, by their place.
    pub parts: Vec<usize>,
}

/// Joins the calls of a trace with the users that the trace names. Calls without a call id are
/// messages of their own. A part that is old is taken as it is; `assumed_model` stands in where no
/// model is told.
#[must_use]
pub fn join(trace_id: &str, seen: &[Seen<'_>], assumed_model: Option<&ModelName>) -> Joined {
    let of_kind = |kind| {
        let parts = seen.iter().enumerate();
        parts.filter(move |(_, seen)| seen.part.kind == kind)
    };
    let mut joined = Joined::default();
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
        let group = Group {
            trace_id,
            seen,
            head,
            assumed_model,
        };
        is_announced &= group.is_announced(&calls);
        group.report(calls, &mut joined);
    }
    joined.is_complete = is_announced && joined.incomplete.is_empty();
    joined
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
struct Group<'a> {
    trace_id: &'a str,
    seen: &'a [Seen<'a>],
    head: Option<(usize, &'a Seen<'a>)>,
    assumed_model: Option<&'a ModelName>,
}

impl<'a> Group<'a> {
    fn at(&self, place: usize) -> Option<&'a Seen<'a>> {
        self.seen.get(place)
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
        let told = calls
            .iter()
            .filter_map(|place| self.at(*place)?.part.tokens);
        let told = told.fold(0, |sum: u64, tokens| sum.saturating_add(tokens.total()));
        head.total_tokens
            .is_some_and(|announced| announced <= told && announced > 0)
    }

    fn report(&self, calls: Vec<usize>, joined: &mut Joined) {
        if calls.is_empty() {
            self.report_head(joined);
            return;
        }
        let mut itemized = Vec::new();
        for place in calls {
            let Some(call) = self.at(place) else { continue };
            if self.user(call).is_none() || (call.part.tokens.is_none() && !call.is_old) {
                joined.incomplete.push(place);
            } else if call.part.call_id.is_some() {
                itemized.push(place);
            } else {
                joined.reports.extend(self.message(vec![place]));
            }
        }
        joined.reports.extend(self.message(itemized));
    }

    /// A trace without calls: that of a basic app tells enough by itself, once nothing more is
    /// expected; others used tokens that nobody itemized, or none.
    fn report_head(&self, joined: &mut Joined) {
        let Some((place, head)) = self.head else {
            return;
        };
        let is_used = head.part.tokens.is_some_and(|tokens| tokens.total() > 0);
        if is_used && head.is_old && head.part.user_id.is_some() {
            joined.reports.extend(self.message(vec![place]));
        } else if is_used || head.part.total_tokens.is_some_and(|total| total > 0) {
            joined.incomplete.push(place);
        }
    }

    /// The trace names the user. A call of a basic app does so too, which helps when its trace is
    /// lost.
    fn user(&self, call: &Seen<'a>) -> Option<&'a UserId> {
        let of_call = call.part.user_id.as_ref().filter(|_| call.is_old);
        self.head()
            .and_then(|head| head.user_id.as_ref())
            .or(of_call)
    }

    fn message(&self, mut places: Vec<usize>) -> Option<Report> {
        let parts: Vec<&Part> = places
            .iter()
            .filter_map(|place| Some(self.at(*place)?.part))
            .collect();
        let first = places.first().and_then(|place| self.at(*place))?;
        let head = self.head();
        let both = || head.into_iter().chain(parts.iter().copied());
        let message_id = both().find_map(|part| part.message_id.clone());
        let run_id = both().find_map(|part| part.workflow_run_id.clone());
        // Dify calls a chatflow's trace by the message, which it tells nowhere else.
        let is_by_message = head.is_none_or(|head| head.is_message) && looks_made(self.trace_id);
        let named = is_by_message.then(|| self.trace_id.to_owned());
        let ids: Vec<String> = [message_id.or(named), run_id]
            .into_iter()
            .flatten()
            .collect();
        let (message_id, also_known_as) = match ids.split_first() {
            Some((first, others)) => (
                first.clone(),
                others.iter().filter(|id| *id != first).cloned().collect(),
            ),
            None => (self.trace_id.to_owned(), Vec::new()),
        };
        let mut evidence = Evidence::Reported;
        let calls = parts.iter().map(|part| {
            let told = part.model_name.as_ref();
            let told = told.or_else(|| head.and_then(|head| head.model_name.as_ref()));
            let model_name = match (told, self.assumed_model) {
                (Some(name), _) => name.clone(),
                (None, assumed) => {
                    evidence = Evidence::AssumedModel;
                    match assumed {
                        Some(name) => name.clone(),
                        None => UNNAMED_MODEL.parse().ok()?,
                    }
                }
            };
            Some(ModelCall {
                call_id: part.call_id.clone(),
                model_name,
                tokens: part.tokens.unwrap_or_default(),
            })
        });
        let calls: Option<Vec<ModelCall>> = calls.collect();
        let report = MessageUsage {
            message_id,
            also_known_as,
            user_id: self.user(first)?.clone(),
            conversation_id: both().find_map(|part| part.conversation_id.clone()),
            request_id: None,
            occurred_at: parts
                .iter()
                .filter_map(|part| part.occurred_at)
                .min()
                .or_else(|| head.and_then(|head| head.occurred_at)),
            reported_total: untold_total(&parts),
            has_answer: has_answer(&parts),
            calls: calls?,
            evidence,
        };
        places.extend(
            self.head
                .map(|(place, _)| place)
                .filter(|place| !places.contains(place)),
        );
        Some(Report {
            message: report,
            parts: places,
        })
    }
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
