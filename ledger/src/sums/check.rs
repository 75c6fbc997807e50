//! Sums of the journal, added up again from it.

use std::collections::HashMap;

use shared::api::EntryKind;
use sqlx::PgConnection;
use uuid::Uuid;

use super::journal::steps;
use super::quarter::Quarter;
use super::read::measures_of;
use super::rows::{Dimension, SumKey, Sums};
use crate::error::Result;
use crate::records::usage_sum::UsageMeasures;
use crate::store::journal_step::{CheckedRow, changes_of_messages, entries_of_accounts};
use crate::store::usage_sum::{
    StoredSumRow, evidence_of, kind_of, mark, of_accounts, wrong_totals,
};

/// Entries that are looked at together.
const ENTRIES_MAX: usize = 1000;
const TOTALS_MAX: i64 = 1000;

/// A sum that is not what the journal adds up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SumFault {
    /// Whose; absent for the sums of all accounts together.
    pub account_id: Option<Uuid>,
    pub what: String,
}

/// Compares the sums of accounts, from one to another, with the journal up to the mark, in a transaction
/// that reads as of one moment: account by account, so that no more than one account's sums are kept in
/// memory. Says of each account what is wrong first.
pub(crate) async fn faults(
    tx: &mut PgConnection,
    (first, last): (Uuid, Uuid),
) -> Result<Vec<SumFault>> {
    let mut faults = Vec::new();
    let mark = mark(&mut *tx).await?;
    // What comes right before the first account. No account is nil: that one is all of them together.
    let mut compared = Uuid::from_u128(first.as_u128().saturating_sub(1));
    let mut after = (compared, i64::MAX);
    let mut expected = Sums::new(Quarter(mark.folded_until));
    loop {
        let limit = i64::try_from(ENTRIES_MAX).unwrap_or(i64::MAX);
        let rows = entries_of_accounts(tx, mark.tx, after, last, limit).await?;
        let is_end = rows.len() < ENTRIES_MAX;
        if let Some(row) = rows.last() {
            after = (row.entry.account_id, row.entry.entry);
        }
        add(tx, mark.tx, rows, &mut expected).await?;
        // The last account may go on in the next rows.
        let complete = if is_end {
            last
        } else {
            Uuid::from_u128(after.0.as_u128().saturating_sub(1))
        };
        if complete > compared {
            let stored = of_accounts(tx, (compared, complete)).await?;
            faults.extend(compare(expected.split_off(complete), stored)?);
            compared = complete;
        }
        if is_end {
            break;
        }
    }
    Ok(faults)
}

/// Compares the sums of all accounts together with those of each.
pub(crate) async fn faults_of_totals(tx: &mut PgConnection) -> Result<Vec<SumFault>> {
    let wrong = wrong_totals(tx, TOTALS_MAX).await?.into_iter();
    let faults = wrong.map(|booked| SumFault {
        account_id: None,
        what: format!(
            "the sums of all accounts {} are not the sums of each",
            time_of(Quarter(booked))
        ),
    });
    Ok(faults.collect())
}

/// Adds what was entered before the mark. What changed a message is found by its first charge.
async fn add(
    tx: &mut PgConnection,
    mark: u64,
    rows: Vec<CheckedRow>,
    sums: &mut Sums,
) -> Result<()> {
    let charges = rows
        .iter()
        .filter(|row| row.entry.kind == EntryKind::Charge.as_str());
    let messages: Vec<Uuid> = charges.filter_map(|row| row.entry.message).collect();
    let changes = changes_of_messages(tx, mark, &messages).await?;
    let entries = rows.into_iter().filter(|row| row.is_before_mark);
    let entries = entries.map(|row| row.entry).collect();
    for step in steps(tx, entries, changes).await? {
        step.add_to(sums);
    }
    Ok(())
}

/// Says of each account which of its sums is wrong first.
fn compare(expected: Sums, stored: Vec<StoredSumRow>) -> Result<Vec<SumFault>> {
    let mut differences: HashMap<SumKey, UsageMeasures> = expected.into_rows().collect();
    for row in stored {
        let (key, measures) = (key_of(&row)?, measures_of(&row.measures)?);
        *differences.entry(key).or_default() += measures.negated();
    }
    let mut wrong: Vec<SumKey> = differences
        .into_iter()
        .filter(|(_, difference)| !difference.is_zero())
        .map(|(key, _)| key)
        .collect();
    wrong.sort_unstable_by_key(|key| (key.account_id, key.booked, key.dimension.kind.as_str()));
    wrong.dedup_by_key(|key| key.account_id);
    let faults = wrong.into_iter().map(|key| SumFault {
        account_id: Some(key.account_id),
        what: format!(
            "the sum of {} {} is not that of its entries",
            key.dimension.kind.as_str(),
            time_of(key.booked)
        ),
    });
    Ok(faults.collect())
}

fn time_of(quarter: Quarter) -> String {
    format!("in the quarter of an hour of {}", quarter.start())
}

fn key_of(row: &StoredSumRow) -> Result<SumKey> {
    Ok(SumKey {
        account_id: row.account_id,
        booked: Quarter(row.booked),
        happened: Quarter(row.happened),
        dimension: Dimension {
            kind: kind_of(&row.kind)?,
            model_key: row.model_key.clone(),
            evidence: evidence_of(&row.evidence)?,
            api_key_id: row.api_key_id,
        },
    })
}
