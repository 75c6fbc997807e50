//! Keeps the sums: adds what was entered since the mark, and moves the mark, in one transaction.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::journal::steps_of;
use super::quarter::Quarter;
use super::rows::{Dimension, SumKey, Sums};
use crate::error::Result;
use crate::records::usage_sum::UsageMeasures;
use crate::store::journal_step::{Horizon, next_stretch};
use crate::store::usage_sum::{
    self as store, BEGIN, DimensionColumns, SumChange, dimension_ids, lock_mark, mark, move_mark,
};

/// Rows of the journal that are added together: what is kept in memory meanwhile.
const ROWS_MAX: i64 = 2000;

/// Adds the next rows of the journal; `false` when there are none that nothing can come before any
/// longer.
pub(crate) async fn add_next(connection: &mut PgConnection) -> Result<bool> {
    // Most looks find nothing, and need no lock for it.
    let from = mark(&mut *connection).await?.tx;
    if next_stretch(connection, from, ROWS_MAX, Horizon::Settled)
        .await?
        .is_none()
    {
        return Ok(false);
    }
    let mut tx = connection.begin_with(BEGIN).await?;
    let mark = lock_mark(&mut *tx).await?;
    let stretch = next_stretch(&mut tx, mark.tx, ROWS_MAX, Horizon::Settled).await?;
    let Some(stretch) = stretch else {
        return Ok(false);
    };
    let mut sums = Sums::new(Quarter(mark.folded_until));
    for step in steps_of(&mut tx, stretch, None).await? {
        step.add_to(&mut sums);
    }
    write(&mut tx, sums).await?;
    move_mark(&mut *tx, stretch.until).await?;
    tx.commit().await?;
    Ok(true)
}

/// Adds sums to the stored ones, under the lock of the mark.
async fn write(tx: &mut PgConnection, sums: Sums) -> Result<()> {
    let mut together = Sums::default();
    let mut rows: Vec<(SumKey, UsageMeasures)> = sums.into_rows().collect();
    for (key, measures) in &rows {
        let account_id = Uuid::nil();
        let key = key.clone();
        together.add(SumKey { account_id, ..key }, *measures);
    }
    rows.extend(together.into_rows());
    let numbers = numbers_of(tx, &rows).await?;
    let mut changes: Vec<_> = rows
        .iter()
        .filter_map(|(key, measures)| Some((key, *numbers.get(&key.dimension)?, *measures)))
        .collect();
    changes.sort_unstable_by_key(|(key, number, _)| {
        (key.account_id, *number, key.booked, key.happened)
    });
    // Once, unless there is more to add than a number of the statement holds.
    while !changes.is_empty() {
        let rows: Vec<SumChange> = changes
            .iter_mut()
            .map(|(key, number, measures)| change(key, *number, measures))
            .collect();
        store::add(tx, &rows).await?;
        changes.retain(|(_, _, measures)| !measures.is_zero());
    }
    Ok(())
}

/// The number of each dimension.
async fn numbers_of<'a>(
    tx: &mut PgConnection,
    rows: &'a [(SumKey, UsageMeasures)],
) -> Result<HashMap<&'a Dimension, i32>> {
    let mut numbers: HashMap<&Dimension, i32> = HashMap::new();
    let mut columns = DimensionColumns::default();
    let mut dimensions = Vec::new();
    for (key, _) in rows {
        let dimension = &key.dimension;
        if numbers.insert(dimension, 0).is_none() {
            columns.kinds.push(dimension.kind.as_str());
            columns.model_keys.push(&dimension.model_key);
            let evidence = dimension.evidence;
            columns
                .evidences
                .push(evidence.map_or("", |it| it.as_str()));
            columns.api_key_ids.push(dimension.api_key_id);
            dimensions.push(dimension);
        }
    }
    let ids = dimension_ids(tx, &columns).await?;
    numbers.extend(dimensions.into_iter().zip(ids));
    Ok(numbers)
}

/// As much of what is to be added as fits; the rest stays.
fn change(key: &SumKey, sum_dimension_id: i32, measures: &mut UsageMeasures) -> SumChange {
    let mut rest = measures.all();
    let taken = rest.each_mut().map(|rest| {
        let limit = if *rest < 0 { i64::MIN } else { i64::MAX };
        let taken = i64::try_from(*rest).unwrap_or(limit);
        *rest -= i128::from(taken);
        taken
    });
    *measures = UsageMeasures::from_all(rest);
    let [
        entries,
        messages,
        calls,
        input,
        cached_input,
        cache_write,
        output,
        reasoning,
        amount_nano,
        cost_nano,
    ] = taken;
    SumChange {
        account_id: key.account_id,
        booked: key.booked.0,
        happened: key.happened.0,
        sum_dimension_id,
        entries,
        messages,
        calls,
        input,
        cached_input,
        cache_write,
        output,
        reasoning,
        amount_nano,
        cost_nano,
    }
}
