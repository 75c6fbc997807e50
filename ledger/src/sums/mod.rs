//! Sums of the journal, kept behind the commit, up to a mark. Readers add what was entered after it by
//! the same arithmetic, so that an answer is always that of the journal, wherever the mark is.
//!
//! What is summed are steps: what an entry, or an event without one, makes of a message that was
//! something else before. What it was is looked up, not remembered, so that steps can be added in any
//! order: transactions that wait for each other need not commit in the order of their numbers.

pub(crate) mod check;
pub(crate) mod fold;
pub(crate) mod journal;
pub(crate) mod keep;
pub(crate) mod quarter;
pub(crate) mod read;
pub(crate) mod rows;
pub(crate) mod step;
