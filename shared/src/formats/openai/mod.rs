//! OpenAI's API, as far as metering needs it: what a request asks for, and what its answer used.

mod answer;
mod request;
mod stream;
mod texts;
mod usage_object;

pub use answer::ModelAnswer;
pub use request::{CallRequest, asking_for_usage};
pub use stream::StreamReader;
pub use usage_object::ProviderUsage;
