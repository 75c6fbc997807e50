//! Statements and the rows they return, one file for each table. What is to be done is decided by
//! whoever calls them.

pub(crate) mod account;
pub(crate) mod administrator;
pub(crate) mod advisory_lock;
pub(crate) mod api_key;
pub(crate) mod audit_log;
pub(crate) mod completeness;
pub(crate) mod connection;
pub(crate) mod credit;
pub(crate) mod feed;
pub(crate) mod hold;
pub(crate) mod idempotency;
pub(crate) mod job;
pub(crate) mod journal_entry;
pub(crate) mod journal_step;
pub(crate) mod message;
pub(crate) mod missing_message;
pub(crate) mod namespace;
pub(crate) mod partition;
pub(crate) mod paused_run;
pub(crate) mod price_version;
pub(crate) mod quarantine;
pub(crate) mod recorded_usage;
pub(crate) mod report;
pub(crate) mod rows;
pub(crate) mod session;
pub(crate) mod sign_in_failure;
pub(crate) mod source;
pub(crate) mod trace;
pub(crate) mod usage_sum;
pub(crate) mod verification;
pub(crate) mod write;
