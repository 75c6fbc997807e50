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
mod dify_stand_in;
mod dify_workflow;
mod edges;
mod gateway;
mod guard;
mod langfuse;
mod langfuse_sdk;
mod live;
mod openai;
mod paused_runs;
mod points;
mod provider;
mod quarantine;
mod rerating;
mod sightings;
mod sign_in;
mod sources;
mod torture;
mod two_processes;
mod webhook;
mod world;
