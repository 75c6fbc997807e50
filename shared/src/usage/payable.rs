//! What is to be paid of what the reports of a message say together.

use std::fmt;

use super::merge::{BestLine, LargestWhole, Merged};
use super::report::{Evidence, Line};
use crate::clock::Timestamp;
use crate::ids::ModelName;
use crate::tokens::Tokens;

/// What a line of a charge is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinePlace {
    /// One model call, by its id.
    Call(String),
    /// The message as a whole, or what it used beyond its calls; which line of it.
    Whole(u16),
    /// What a bare count goes beyond all else.
    Count,
}

impl fmt::Display for LinePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(id) => f.write_str(id),
            Self::Whole(_) => f.write_str("(whole)"),
            Self::Count => f.write_str("(count)"),
        }
    }
}

/// A line to be paid: one request to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayableLine {
    pub place: LinePlace,
    /// The report that its price goes by, and when that happened.
    pub report: u32,
    pub at: Timestamp,
    pub model_name: ModelName,
    pub tokens: Tokens,
    pub evidence: Evidence,
}

/// The lines to be paid: the surest first, each with only the tokens beyond all before it.
///
/// What an administrator decided is all there is to pay. Else calls that were told are paid as told;
/// estimated calls fill up to the largest total that anybody told, or are paid as they are where
/// nobody told one; then what the best told whole, and then what the count goes beyond that. An
/// estimated whole counts only where nothing else was told.
#[must_use]
pub fn lines(merged: &Merged) -> Vec<PayableLine> {
    let best = merged.best_whole();
    if let Some((Evidence::Decided, whole)) = best {
        return whole_lines(whole, Tokens::default());
    }
    let told = best.filter(|(evidence, _)| *evidence > Evidence::Estimated);
    let mut bill = Bill::default();
    for (id, call) in &merged.calls {
        if call.line.evidence > Evidence::Estimated {
            bill.add_call(id, call, call.line.tokens);
        }
    }
    let has_told_calls = !bill.lines.is_empty();
    let of_whole = told.map_or(0, |(_, whole)| whole.tokens());
    let of_count = merged.count.as_ref().map_or(0, |count| count.tokens);
    let bound = of_whole.max(of_count);
    for (id, call) in &merged.calls {
        if call.line.evidence == Evidence::Estimated {
            let tokens = match bound {
                0 => call.line.tokens,
                bound => first_of(call.line.tokens, bound.saturating_sub(bill.covered.total())),
            };
            bill.add_call(id, call, tokens);
        }
    }
    let estimated = best.filter(|_| told.is_none() && merged.count.is_none() && !has_told_calls);
    if let Some((_, whole)) = told {
        bill.add_all(whole_lines(whole, bill.covered));
    }
    if let Some(count) = &merged.count {
        bill.add(PayableLine {
            place: LinePlace::Count,
            report: count.number(),
            at: count.at(),
            model_name: count.model_name.clone(),
            tokens: Tokens::new(count.tokens.saturating_sub(bill.covered.total()), 0),
            evidence: Evidence::Summed,
        });
    }
    if let Some((_, whole)) = estimated {
        bill.add_all(whole_lines(whole, bill.covered));
    }
    bill.lines
}

/// Lines, and the tokens that they pay for.
#[derive(Default)]
struct Bill {
    lines: Vec<PayableLine>,
    covered: Tokens,
}

impl Bill {
    fn add(&mut self, line: PayableLine) {
        if line.tokens.total() > 0 {
            self.covered = self.covered.saturating_plus(line.tokens);
            self.lines.push(line);
        }
    }

    fn add_all(&mut self, lines: Vec<PayableLine>) {
        lines.into_iter().for_each(|line| self.add(line));
    }

    fn add_call(&mut self, id: &str, call: &BestLine, tokens: Tokens) {
        self.add(PayableLine {
            place: LinePlace::Call(id.to_owned()),
            report: call.number(),
            at: call.at,
            model_name: call.line.model_name.clone(),
            tokens,
            evidence: call.line.evidence,
        });
    }
}

/// A whole as lines, less what is covered.
fn whole_lines(whole: &LargestWhole, mut covered: Tokens) -> Vec<PayableLine> {
    let lines = whole.lines.iter().zip(0_u16..);
    let lines = lines.map(|(line, place): (&Line, u16)| {
        let tokens = line.tokens.beyond(covered);
        // Also what a line is covered by in other categories is used up.
        covered = covered.beyond(line.tokens);
        PayableLine {
            place: LinePlace::Whole(place),
            report: whole.number(),
            at: whole.at(),
            model_name: line.model_name.clone(),
            tokens,
            evidence: line.evidence,
        }
    });
    lines.filter(|line| line.tokens.total() > 0).collect()
}

/// At most so many tokens in all, in the order of the categories.
fn first_of(tokens: Tokens, at_most: u64) -> Tokens {
    let mut left = at_most;
    tokens.map(|count| {
        let taken = count.min(left);
        left -= taken;
        taken
    })
}
