//! What messages used: reports of several parties, what they say together, and what of it is paid.

mod merge;
pub mod message;
mod payable;
mod report;

pub use merge::{Merged, merge};
pub use message::{MessageUsage, ModelCall, TextAmount};
pub use payable::{LinePlace, PayableLine, lines};
pub use report::{Count, Evidence, Line, Party, Report, Usage, Whole};
