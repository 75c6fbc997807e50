//! Credits as they are stored, while their accounts are walked along.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::store::verification::account::CreditRow;

/// Credits of a chunk that the walk has not come to the end of.
pub(super) struct CreditRows(BTreeMap<(Uuid, i64), CreditRow>);

impl CreditRows {
    pub(super) fn new(rows: Vec<CreditRow>) -> Self {
        let rows = rows
            .into_iter()
            .map(|row| ((row.account_id, row.entry), row));
        Self(rows.collect())
    }

    pub(super) fn get(&self, account_id: Uuid, entry: i64) -> Option<&CreditRow> {
        self.0.get(&(account_id, entry))
    }

    pub(super) fn remove(&mut self, account_id: Uuid, entry: i64) -> Option<CreditRow> {
        self.0.remove(&(account_id, entry))
    }

    pub(super) fn any_of(&self, account_id: Uuid) -> Option<&CreditRow> {
        let range = (account_id, i64::MIN)..=(account_id, i64::MAX);
        self.0.range(range).next().map(|(_, row)| row)
    }
}
