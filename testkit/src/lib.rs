//! What tests and measurements stand on: a database of their own, a running server, and stand-ins
//! for those whom Tollgate talks to.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "whatever is missing here ends the test that asked for it"
)]

pub mod dify;
pub mod dify_streams;
pub mod provider;

#[cfg(feature = "server")]
mod answer;
mod database;
mod folder;
#[cfg(feature = "server")]
mod world;

#[cfg(feature = "server")]
pub use answer::{Answer, answer, client};
pub use database::{Database, cluster, deadlocks};
pub use folder::folder;
#[cfg(feature = "server")]
pub use world::{World, actor, config, event};
