//! Sums of the journal: keeps them, and reads them by any cut.

use crate::error::Result;
use crate::operations::ledger::Ledger;
use crate::records::usage_sum::{UsageCut, UsageFilter, UsageSums};
use crate::store;
use crate::store::usage_sum::BEGIN_READING;
use crate::sums::quarter::Quarter;
use crate::sums::{fold, keep, read};

impl Ledger {
    /// Adds to the sums what was entered since, but for what transactions that are still running hold
    /// back. Readers of sums do not wait for it: they add the rest themselves. Any number of processes
    /// may do it.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn sum_up(&self) -> Result<()> {
        let mut connection = self.pool().acquire().await?;
        while keep::add_next(&mut connection).await? {}
        Ok(())
    }

    /// Makes days of the sums of quarters of an hour that are three months old.
    pub(crate) async fn fold_sums(&self) -> Result<()> {
        let mut connection = self.pool().acquire().await?;
        let now = store::account::now(&mut connection).await?;
        fold::fold(&mut connection, Quarter::of(now)).await
    }

    /// Sums of the journal as of one moment, told apart as a cut says.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn usage_sums(&self, filter: &UsageFilter, cut: UsageCut) -> Result<UsageSums> {
        let mut tx = self.pool().begin_with(BEGIN_READING).await?;
        let sums = read::sums(&mut tx, filter, cut).await?;
        tx.commit().await?;
        Ok(sums)
    }
}
