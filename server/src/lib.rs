//! What the network sees, and the process: configuration, the command line, HTTP.

pub mod books;
pub mod cli;
pub mod completeness;
pub mod config;
pub mod http;
pub mod secret;
pub mod serve;
pub mod telemetry;
pub mod terminal;
