//! The schema, and what grows in it without end.

use tracing::{info, warn};

use crate::error::Result;
use crate::operations::ledger::Ledger;
use crate::operations::schema::MIGRATIONS;
use crate::store::advisory_lock::{MAINTENANCE_LOCK, lock_transaction};
use crate::store::partition::DELIVERY_LOG;
use crate::store::{idempotency, partition, session, sign_in_failure, trace};

const PARTITION_MONTHS_AHEAD: i32 = 6;
/// What is kept by months.
const PARTITIONED: [&str; 2] = ["journal_entry", DELIVERY_LOG];

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
        for table in PARTITIONED {
            match self.make_partitions(table).await {
                Err(error) if partition::is_in_use(&error) => {
                    warn!(table, "is in use, so that the months ahead are made later");
                }
                made => made?,
            }
        }
        let mut tx = self.pool().begin().await?;
        lock_transaction(&mut tx, MAINTENANCE_LOCK).await?;
        session::delete_expired(&mut *tx).await?;
        sign_in_failure::delete_old(&mut *tx).await?;
        idempotency::delete_old(&mut *tx).await?;
        trace::delete_old(&mut *tx).await?;
        tx.commit().await?;
        self.fold_sums().await
    }
    async fn make_partitions(&self, table: &str) -> Result<()> {
        let mut tx = self.pool().begin().await?;
        // Two processes that start together must not both create a partition.
        lock_transaction(&mut tx, MAINTENANCE_LOCK).await?;
        partition::wait_briefly(&mut tx).await?;
        partition::ensure(&mut tx, table, PARTITION_MONTHS_AHEAD).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Drops the months of the log of deliveries that are older than they are to be kept, and notes for
    /// each how many rows it had, and their hash. For one process at a time.
    ///
    /// A month is first detached, for which the log must be free for a moment, and then read through
    /// while nobody has to wait for it. `false` when the log was in use: the rest is to be done later.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database); what is detached by then is dropped the next time.
    pub async fn drop_old_deliveries(&self) -> Result<bool> {
        loop {
            for month in partition::detached(self.pool(), DELIVERY_LOG).await? {
                let mut tx = self.pool().begin().await?;
                let content = partition::content(&mut tx, &month).await?;
                partition::drop_detached(&mut tx, DELIVERY_LOG, &month, &content).await?;
                tx.commit().await?;
                info!(
                    month = month.month,
                    rows = content.rows,
                    "dropped a month of the log of deliveries"
                );
            }
            match self.detach_old_deliveries().await {
                Ok(true) => {}
                Ok(false) => return Ok(true),
                Err(error) if partition::is_in_use(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    async fn detach_old_deliveries(&self) -> Result<bool> {
        let mut tx = self.pool().begin().await?;
        partition::wait_briefly(&mut tx).await?;
        let months = self.inner.delivery_retention_months;
        let is_detached = partition::detach(&mut *tx, DELIVERY_LOG, months).await?;
        tx.commit().await?;
        Ok(is_detached)
    }
}
