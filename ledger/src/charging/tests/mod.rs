//! The decision about reports, in a world in memory.

mod cases;
mod joins;
mod prices;
mod properties;
mod refunds;
mod users;
pub(crate) mod world;
