//! What travels between a page and the server: types, and the server functions that answer.
//!
//! What is only read is asked through the one function of [`query`]; whatever changes something has
//! a function of its own, in the file of its group.

pub mod completeness;
pub mod correction;
pub mod fields;
pub mod history;
#[cfg(feature = "ssr")]
mod indented;
pub mod monitor;
pub mod my;
pub mod price_draft;
pub mod prices;
pub mod quarantine;
pub mod query;
pub mod rerate;
pub mod session;
pub mod sources;
pub mod users;
