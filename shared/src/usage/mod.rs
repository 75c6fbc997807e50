//! What messages used, in whatever format it was reported.

pub mod message;

pub use message::{MessageUsage, ModelCall, TextAmount};
