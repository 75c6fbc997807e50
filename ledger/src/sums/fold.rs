//! Makes days of the quarters of an hour that are long past.

use sqlx::{Connection, PgConnection};

use super::quarter::Quarter;
use crate::error::Result;
use crate::store::usage_sum::{BEGIN, first_booked, fold_day, lock_mark, set_folded};

/// How long sums are kept by quarters of an hour: three months.
const DAYS: i32 = 92;

/// Folds every day that was over so long ago, each in a transaction of its own.
pub(crate) async fn fold(connection: &mut PgConnection, now: Quarter) -> Result<()> {
    let horizon = now.day().plus(-DAYS * Quarter::IN_A_DAY);
    loop {
        let mut tx = connection.begin_with(BEGIN).await?;
        let folded_until = lock_mark(&mut *tx).await?.folded_until;
        let first = first_booked(&mut *tx, folded_until).await?;
        let day = first.map(|first| Quarter(first).day());
        let Some(day) = day.filter(|day| *day < horizon) else {
            if folded_until < horizon.0 {
                set_folded(&mut *tx, horizon.0).await?;
                tx.commit().await?;
            }
            return Ok(());
        };
        fold_day(&mut tx, day.0, day.plus(Quarter::IN_A_DAY).0).await?;
        tx.commit().await?;
    }
}
