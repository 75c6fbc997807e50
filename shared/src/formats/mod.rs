//! The formats in which others tell what was used, from bytes to usage. Nothing here trusts what it
//! reads, and nothing that is read may grow without bound.

mod bounded_json;
mod fields;

pub mod dify;
pub mod dify_stream;
pub mod langfuse;
pub mod openai;
pub mod sse;
