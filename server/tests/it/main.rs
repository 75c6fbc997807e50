//! Tollgate over HTTP and on the command line, as others meet it: a real server on a port of its
//! own, on a real Postgres.

#![cfg(test)] // Tells clippy that helpers are test code too.

mod administration;
mod batch;
mod busy;
mod command_line;
mod completeness;
mod corrections;
mod crash;
mod dify_workflow;
mod edges;
mod gateway;
mod guard;
mod langfuse;
mod langfuse_sdk;
mod live;
mod openai;
mod openapi_document;
mod paused_runs;
mod points;
mod quarantine;
mod reports;
mod rerating;
mod sign_in;
mod sources;
mod torture;
mod two_processes;
mod webhook;

const SAMPLE: &str = include_str!("../fixtures/webhook_message_end.json");
const DIFY_MESSAGE_END: &str = include_str!("../fixtures/sse_message_end.json");
