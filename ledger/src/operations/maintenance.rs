//! The schema, and what grows in it without end.

use crate::error::Result;
use crate::operations::ledger::Ledger;
use crate::operations::schema::MIGRATIONS;
use crate::store::advisory_lock::{MAINTENANCE_LOCK, lock_transaction};
use crate::store::{idempotency, partition, session, sign_in_failure, trace};

const PARTITION_MONTHS_AHEAD: i32 = 6;

impl Ledger {
    /// Brings the schema up to date; safe to run from several processes at once.
    ///
    /// # Errors
    /// [`Error::Migration`](crate::Error::Migration) names the migration that failed.
    pub async fn migrate(&self) -> Result<()> {
        MIGRATIONS.run(self.pool()).await?;
        self.maintain().await
    }

    /// What must be done once a day: partitions for the months ahead; expired sessions, old
    /// idempotency keys and delivered traces away; sums that are three months old by days.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn maintain(&self) -> Result<()> {
        let mut tx = self.pool().begin().await?;
        // Two processes that start together must not both create a partition.
        lock_transaction(&mut tx, MAINTENANCE_LOCK).await?;
        partition::ensure(&mut tx, PARTITION_MONTHS_AHEAD).await?;
        session::delete_expired(&mut *tx).await?;
        sign_in_failure::delete_old(&mut *tx).await?;
        idempotency::delete_old(&mut *tx).await?;
        trace::delete_old(&mut *tx).await?;
        tx.commit().await?;
        self.fold_sums().await
    }
}
