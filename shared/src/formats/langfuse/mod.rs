//! What Langfuse's SDKs send, as far as it tells what a message of Dify used. A message arrives as a
//! trace in several parts: the trace itself, which knows the user, and a generation for each model
//! call, which knows model and tokens. `events` reads the parts, `join` puts them together.

mod events;
mod join;
mod part;

pub use events::{Event, TracedPart, parse_batch};
pub use join::{AgedPart, TraceMessage, TraceUsage, join};
pub use part::{Part, PartKind};
