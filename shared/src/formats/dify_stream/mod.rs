//! What an answer of Dify's says was used, whichever of its shapes it has and wherever it breaks off.
//! [`Meter`] reads the bytes, `events` what they say, `nodes` keeps what each node of a run used, and
//! [`AnswerUsage`] draws the sum.

mod answer;
mod events;
mod meter;
mod nodes;
mod usage_object;

pub use answer::{AnswerUsage, CallContext, Pause};
pub use meter::Meter;
