//! What the reports of a message say together: a join of semilattices, so that neither the order in
//! which they are merged nor merging one twice makes a difference.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::report::{Evidence, Line, Party, Report, Whole};
use crate::clock::Timestamp;
use crate::ids::ModelName;

/// The first report of something: the lowest number, and when that happened.
type First = (Reverse<u32>, Timestamp);

/// The best report of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BestLine {
    /// Tokens before none, then evidence, then who came first.
    rank: (bool, Evidence, Reverse<u32>),
    pub line: Line,
    pub at: Timestamp,
}

impl BestLine {
    pub const fn number(&self) -> u32 {
        self.rank.2.0
    }
}

/// The largest whole of one party at one evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LargestWhole {
    first: First,
    size: (u64, Reverse<u32>),
    pub lines: Vec<Line>,
}

impl LargestWhole {
    pub const fn number(&self) -> u32 {
        self.first.0.0
    }

    pub const fn at(&self) -> Timestamp {
        self.first.1
    }

    pub const fn tokens(&self) -> u64 {
        self.size.0
    }
}

/// The largest count, under the model and the time of the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LargestCount {
    pub tokens: u64,
    first: First,
    pub model_name: ModelName,
}

impl LargestCount {
    pub const fn number(&self) -> u32 {
        self.first.0.0
    }

    pub const fn at(&self) -> Timestamp {
        self.first.1
    }
}

/// Several reports of one message as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    pub(super) calls: BTreeMap<String, BestLine>,
    pub(super) wholes: BTreeMap<(Evidence, Party), LargestWhole>,
    pub(super) count: Option<LargestCount>,
}

/// Merges reports.
#[must_use]
pub fn merge<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Merged {
    let of_each = reports.into_iter().map(Merged::of);
    of_each.fold(Merged::default(), Merged::join)
}

impl Merged {
    /// What one report says by itself.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let first = (Reverse(report.number), report.at);
        let calls = report.usage.calls.iter().map(|(id, line)| {
            let rank = (line.tokens.total() > 0, line.evidence, first.0);
            let (line, at) = (line.clone(), report.at);
            (id.clone(), BestLine { rank, line, at })
        });
        let is_something = |whole: &&Whole| whole.total_tokens() > 0;
        let whole = report.usage.whole.as_ref().filter(is_something);
        let wholes = whole.into_iter().map(|whole| {
            let largest = LargestWhole {
                first,
                size: (whole.total_tokens(), first.0),
                lines: whole.lines.clone(),
            };
            ((whole.evidence(), report.party), largest)
        });
        Self {
            calls: calls.collect(),
            wholes: wholes.collect(),
            count: report.usage.count.as_ref().map(|count| LargestCount {
                tokens: count.tokens,
                first,
                model_name: count.model_name.clone(),
            }),
        }
    }

    /// Both together.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        for (id, line) in other.calls {
            match self.calls.entry(id) {
                Entry::Vacant(place) => {
                    place.insert(line);
                }
                Entry::Occupied(mut best) if line.rank > best.get().rank => {
                    best.insert(line);
                }
                Entry::Occupied(_) => {}
            }
        }
        for (key, whole) in other.wholes {
            match self.wholes.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(whole);
                }
                Entry::Occupied(mut largest) => largest.get_mut().join(whole),
            }
        }
        self.count = match (self.count, other.count) {
            (Some(one), Some(other)) => Some(one.join(other)),
            (one, other) => one.or(other),
        };
        self
    }

    /// The surest whole; of equally sure ones, the party's that reported first.
    pub(super) fn best_whole(&self) -> Option<(Evidence, &LargestWhole)> {
        let wholes = self.wholes.iter();
        let best = wholes.max_by_key(|((evidence, _), whole)| (*evidence, whole.first.0));
        best.map(|((evidence, _), whole)| (*evidence, whole))
    }
}

impl LargestWhole {
    fn join(&mut self, other: Self) {
        self.first = self.first.max(other.first);
        if other.size > self.size {
            self.size = other.size;
            self.lines = other.lines;
        }
    }
}

impl LargestCount {
    fn join(self, other: Self) -> Self {
        let tokens = self.tokens.max(other.tokens);
        let first = if other.first > self.first {
            other
        } else {
            self
        };
        Self { tokens, ..first }
    }
}
