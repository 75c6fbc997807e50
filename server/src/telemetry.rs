//! Logs: to standard error, as text on a terminal and as JSON otherwise. Secrets (keys, tokens,
//! passwords, bodies) are never logged.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// Starts logging; `filter` in the form of `TOLLGATE_LOG`.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!("“{filter}” is not a log filter; try info or warn,ledger=debug")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second start in one process (tests) keeps the first.
    if io::stderr().is_terminal() {
        drop(builder.with_target(false).try_init());
    } else {
        drop(builder.json().flatten_event(true).try_init());
    }
    Ok(())
}
