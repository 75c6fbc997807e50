//! Sums of the journal, added up again from it.

use sqlx::{Connection as _, PgPool};
use uuid::Uuid;

use super::report::{Finding, Pass};
use crate::error::Result;
use crate::store::usage_sum::BEGIN_READING;
use crate::sums::check::faults;

/// Compares all sums, or those of one account, with a journal that was found to be right.
pub(super) async fn sums(pool: &PgPool, only: Option<Uuid>) -> Result<Pass> {
    let mut pass = Pass::new("sums");
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin_with(BEGIN_READING).await?;
    for fault in faults(&mut tx, only).await? {
        pass.find(match fault.account_id {
            Some(account_id) => Finding::at(account_id, None, fault.what),
            None => Finding::of(fault.what),
        });
    }
    tx.rollback().await?;
    Ok(pass)
}
