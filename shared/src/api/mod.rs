//! Requests and answers of Tollgate's own endpoints, one file for each group of them. Amounts come
//! twice: as decimal points, and exactly, in a field whose name ends in `Nano`, as a string of
//! nanopoints.

mod audit;
mod completeness;
mod envelope;
pub mod fields;
mod history;
mod holds;
mod jobs;
mod live;
mod points;
mod quarantine;
mod reports;
mod rerating;
mod rollups;
#[cfg(feature = "openapi")]
mod schema;
mod users;
mod webhook;
#[cfg(feature = "openapi")]
mod webhook_body;

pub use audit::*;
pub use completeness::*;
pub use envelope::*;
pub use history::*;
pub use holds::*;
pub use jobs::*;
pub use live::*;
pub use points::*;
pub use quarantine::*;
pub use reports::*;
pub use rerating::*;
pub use rollups::*;
pub use users::*;
pub use webhook::*;
#[cfg(feature = "openapi")]
pub use webhook_body::*;
