//! What verification reads: rows in bulk, in the order of their keys, and by key where something is
//! out of the ordinary.

pub(crate) mod account;
pub(crate) mod claim;
pub(crate) mod entry;
pub(crate) mod message;
pub(crate) mod quarantine;
pub(crate) mod stray;

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::error::Result;

/// One snapshot, read in the order of keys: sorting or hashing whole tables would take memory and disk.
pub(crate) const BY_KEYS: &str =
    "begin isolation level repeatable read read only; set local enable_seqscan = off;
     set local enable_bitmapscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
     set local max_parallel_workers_per_gather = 0; set local jit = off;
     set local plan_cache_mode = force_custom_plan";

/// One snapshot, read as Postgres sees fit.
pub(crate) const AS_IT_COMES: &str =
    "begin isolation level repeatable read read only; set local jit = off";

/// Tells rows that every later snapshot has from those that it may have.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// Transactions before this one have ended.
    pub transaction: String,
    /// No transaction has lasted that long. Books that were restored into another cluster have rows of
    /// transactions that it is still to begin.
    pub recorded_before: OffsetDateTime,
}

pub(crate) async fn cut(connection: &mut PgConnection) -> Result<Cut> {
    let (transaction, recorded_before) = sqlx::query_as(
        "select pg_snapshot_xmin(pg_current_snapshot())::text, now() - interval '1 hour'",
    )
    .fetch_one(connection)
    .await?;
    Ok(Cut {
        transaction,
        recorded_before,
    })
}
