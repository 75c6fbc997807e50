//! The way of a report: decided purely, written in a group, answered after the commit.

mod batch;
pub(crate) mod change;
mod commit;
mod decide;
pub(crate) mod delivery;
pub(crate) mod message;
pub(crate) mod queue;
pub(crate) mod record;
#[cfg(test)]
mod tests;
mod write;
