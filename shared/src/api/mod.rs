//! Requests and answers of Tollgate's own endpoints, one file for each group of them. Amounts come
//! twice: as decimal points, and exactly, in a field whose name ends in `Nano`, as a string of
//! nanopoints.

mod audit;
mod completeness;
mod envelope;
mod history;
mod holds;
mod live;
mod points;
mod quarantine;
mod rollups;
mod users;
mod webhook;

pub use audit::*;
pub use completeness::*;
pub use envelope::*;
pub use history::*;
pub use holds::*;
pub use live::*;
pub use points::*;
pub use quarantine::*;
pub use rollups::*;
pub use users::*;
pub use webhook::*;
