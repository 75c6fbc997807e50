//! Sums of the journal, added up again from it.

use sqlx::{Connection as _, PgPool};
use uuid::Uuid;

use super::ranges::{id_ranges, in_parallel};
use super::report::{Finding, Pass};
use crate::error::Result;
use crate::store::usage_sum::BEGIN_READING;
use crate::sums::check::{SumFault, faults, faults_of_totals};

/// Compares all sums, or those of one account, with a journal that was found to be right: each part of
/// the accounts as of one moment, because the sums follow the journal.
pub(super) async fn sums(pool: &PgPool, only: Option<Uuid>) -> Result<Pass> {
    let mut pass = Pass::new("sums");
    let ranges = only.map_or_else(id_ranges, |id| vec![(id, id)]);
    let parts = in_parallel(ranges, |range| {
        let pool = pool.clone();
        Box::pin(async move { of_range(&pool, range).await })
    });
    for fault in parts.await?.into_iter().flatten() {
        pass.find(finding(fault));
    }
    if only.is_none() {
        let mut connection = pool.acquire().await?;
        let mut tx = connection.begin_with(BEGIN_READING).await?;
        for fault in faults_of_totals(&mut tx).await? {
            pass.find(finding(fault));
        }
        tx.rollback().await?;
    }
    Ok(pass)
}

async fn of_range(pool: &PgPool, range: (Uuid, Uuid)) -> Result<Vec<SumFault>> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin_with(BEGIN_READING).await?;
    let faults = faults(&mut tx, range).await?;
    tx.rollback().await?;
    Ok(faults)
}

fn finding(fault: SumFault) -> Finding {
    match fault.account_id {
        Some(account_id) => Finding::at(account_id, None, fault.what),
        None => Finding::of(fault.what),
    }
}
