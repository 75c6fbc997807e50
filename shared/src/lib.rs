//! The domain of Tollgate, pure: no I/O, no clock, no framework. The same code runs in the server,
//! in the ledger and in the browser, so a price is computed in exactly one way.

pub mod api;
pub mod clock;
pub mod formats;
pub mod ids;
pub mod locale;
pub mod money;
pub mod price;
pub mod problem;
pub mod quote;
pub mod source;
pub mod tokens;
pub mod usage;

/// Former paths.
pub mod dify {
    pub use crate::formats::dify::parse_webhook;
    pub use crate::formats::dify_stream::{
        AnswerUsage as Seen, CallContext as Asked, Meter, Pause,
    };
    pub use crate::usage::Evidence;
    pub use crate::usage::message::{MessageUsage, ModelCall, TextAmount as Text};
}
/// Former paths.
pub mod openai {
    pub use crate::formats::openai::{
        CallRequest, ModelAnswer as Seen, ProviderUsage as Usage, StreamReader, asking_for_usage,
    };
}
/// Former paths.
pub mod langfuse {
    pub use crate::formats::langfuse::{
        AgedPart as Seen, Event, Part, PartKind, TraceMessage as Report, TraceUsage as Joined,
        TracedPart as Told, join, parse_batch,
    };
}
