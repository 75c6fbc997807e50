//! What one party says that a message used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::ModelName;
use crate::tokens::Tokens;

/// How sure a line of a report is. Of two lines about the same, the surer one counts.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nobody told the tokens: they are estimated from text.
    Estimated,
    /// Only a sum of tokens is known, which then stands for input.
    Summed,
    /// The tokens were told, but not the model: it is the one that the source is set to.
    ModelAssumed,
    /// Tokens and model were told.
    #[default]
    Measured,
    /// An administrator has decided it, for the message as a whole.
    Decided,
}

impl Evidence {
    pub const ALL: [Self; 5] = [
        Self::Estimated,
        Self::Summed,
        Self::ModelAssumed,
        Self::Measured,
        Self::Decided,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::Summed => "summed",
            Self::ModelAssumed => "model_assumed",
            Self::Measured => "measured",
            Self::Decided => "decided",
        }
    }
}

/// Who is told of messages. What one party says twice must agree; two parties may know different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The operator's own systems, by webhook or by settling a hold.
    Operator,
    /// Tollgate itself, in front of Dify.
    Gateway,
    /// Dify's traces.
    Traces,
    /// Tollgate itself, in front of a model provider.
    Models,
    /// Dify's own lists, after an administrator's review.
    Review,
}

/// Tokens of one model, and how sure that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub model_name: ModelName,
    pub tokens: Tokens,
    pub evidence: Evidence,
}

/// Usage of a message as one. Several lines only where an administrator decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole {
    pub lines: Vec<Line>,
    /// It may grow: the message goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_so_far: bool,
}

impl Line {
    /// Equal for lines that say the same.
    fn key(&self) -> (String, Tokens, Evidence) {
        (self.model_name.key(), self.tokens, self.evidence)
    }
}

impl Whole {
    /// As sure as its least sure line.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let evidence = self.lines.iter().map(|line| line.evidence);
        evidence.min().unwrap_or_default()
    }

    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        total_tokens(&self.lines)
    }
}

/// A bare number of tokens of the message so far. It names no model: one is assumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    pub tokens: u64,
    pub model_name: ModelName,
}

/// What a message used, as far as one party knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Model calls that are known apart, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, Line>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Whole>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

/// A report of a message, in the order in which the message's reports arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The only order there is: 0, 1, 2… within the message.
    pub number: u32,
    pub party: Party,
    /// When it happened, as the price of its lines has it.
    pub at: Timestamp,
    pub usage: Usage,
}

impl Usage {
    /// Whether both say the same: of the same calls, the whole and the count, models by their keys.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let lines = |usage: &Self| -> Vec<_> {
            let calls = usage.calls.iter();
            let calls = calls.map(|(id, line)| (Some(id.clone()), line.key()));
            let whole = usage.whole.iter().flat_map(|whole| &whole.lines);
            calls.chain(whole.map(|line| (None, line.key()))).collect()
        };
        let count = |usage: &Self| usage.count.as_ref().map(|count| count.tokens);
        count(self) == count(other) && lines(self) == lines(other)
    }

    /// As an administrator has decided it: of the message as a whole, whatever its calls were.
    #[must_use]
    pub fn decided(self) -> Self {
        let calls = self.calls.into_values();
        let whole = self.whole.into_iter().flat_map(|whole| whole.lines);
        let count = self.count.map(|count| Line {
            model_name: count.model_name,
            tokens: Tokens::new(count.tokens, 0),
            evidence: Evidence::Decided,
        });
        let lines = calls.chain(whole).chain(count).map(|line| Line {
            evidence: Evidence::Decided,
            ..line
        });
        Self {
            whole: Some(Whole {
                lines: lines.collect(),
                is_so_far: false,
            }),
            ..Self::default()
        }
    }

    /// Whether another report of the same party tells of the same call, or of the whole, something
    /// else and is as sure. An estimate contradicts nobody, and what tells of no tokens neither.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let of_calls = self.calls.iter().any(|(id, line)| {
            let other = other.calls.get(id);
            other.is_some_and(|other| contradict(line, other))
        });
        let of_wholes = match (&self.whole, &other.whole) {
            (Some(one), Some(other)) if !one.is_so_far && !other.is_so_far => {
                wholes_contradict(one, other)
            }
            _ => false,
        };
        of_calls || of_wholes
    }
}

fn contradict(one: &Line, other: &Line) -> bool {
    one.evidence == other.evidence
        && one.evidence > Evidence::Estimated
        && one.tokens.total() > 0
        && other.tokens.total() > 0
        && !says_the_same(one, other)
}

/// Models by their keys.
fn says_the_same(one: &Line, other: &Line) -> bool {
    one.tokens == other.tokens && one.model_name.key() == other.model_name.key()
}

fn wholes_contradict(one: &Whole, other: &Whole) -> bool {
    let is_same = one.lines.len() == other.lines.len()
        && one
            .lines
            .iter()
            .zip(&other.lines)
            .all(|(one, other)| says_the_same(one, other));
    one.evidence() == other.evidence()
        && one.evidence() > Evidence::Estimated
        && one.total_tokens() > 0
        && other.total_tokens() > 0
        && !is_same
}

pub(super) fn total_tokens(lines: &[Line]) -> u64 {
    lines
        .iter()
        .fold(0, |sum: u64, line| sum.saturating_add(line.tokens.total()))
}
