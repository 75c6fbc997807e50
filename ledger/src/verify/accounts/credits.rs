//! What becomes of an account's credits along its entries, and what their rows say.

use shared::api::EntryKind;

use super::credit_rows::CreditRows;
use super::walk::Walk;
use crate::records::credit::{Credit, CreditState};
use crate::records::entry::{CreditTerms, Entry};
use crate::store::verification::entry::StoredEntry;

impl Walk {
    /// The terms of the credit that an entry brings, which must be there if it brings points.
    pub(super) fn terms(
        &self,
        number: i64,
        row: &StoredEntry,
        credits: &CreditRows,
    ) -> Result<CreditTerms, String> {
        if row.amount_nano <= 0 {
            return Ok(CreditTerms::default());
        }
        let credit = credits.get(self.account_id, number);
        let credit = credit.filter(|credit| credit.amount_nano == row.amount_nano);
        let credit = credit.ok_or("its credit is missing or is not what it brought")?;
        let terms = CreditTerms {
            is_bought: credit.is_bought,
            expires_at: credit.expires_at,
        };
        if row.kind != EntryKind::Grant.as_str() && terms != CreditTerms::default() {
            return Err("was changed: only points that were given have terms".into());
        }
        Ok(terms)
    }

    /// Brings points in or burns them, and compares what is used up with its row.
    pub(super) fn move_credits(
        &mut self,
        entry: &Entry,
        rows: &mut CreditRows,
    ) -> Result<(), String> {
        let amount = entry.amount_nano();
        let is_expiry = entry.draft.kind == EntryKind::Expiry;
        if !is_expiry && self.credits.next_expired(entry.recorded_at).is_some() {
            return Err("points were there that had run out before it".into());
        }
        if amount > 0 {
            // Points that come in pay a debt first.
            let debt = self.balance_nano.min(0).saturating_neg();
            let terms = rows.get(self.account_id, entry.entry);
            self.credits.insert(Credit {
                entry: entry.entry,
                amount_nano: amount,
                remaining_nano: amount.saturating_sub(debt).max(0),
                is_bought: terms.is_some_and(|row| row.is_bought),
                expires_at: terms.and_then(|row| row.expires_at),
                state: CreditState::Stored,
            });
        } else {
            match entry.corrects_entry().filter(|_| is_expiry) {
                Some(credit) => self.credits.burn_entry(credit, amount.saturating_neg()),
                None => self.credits.burn(amount.saturating_neg()),
            }
        }
        for spent in self.credits.remove_used_up() {
            let row = rows.remove(self.account_id, spent.entry);
            if row.is_some_and(|row| row.remaining_nano != 0) {
                let number = spent.entry;
                return Err(format!(
                    "used up the credit of entry {number}, whose row has something left"
                ));
            }
        }
        Ok(())
    }

    /// What is left of each credit, and no others.
    pub(super) fn credit_fault(&self, rows: &mut CreditRows) -> Option<(Option<i64>, String)> {
        let not_what_is_left = "what is left of its credit is not what later entries left of it";
        for credit in self.credits.iter() {
            let row = rows.remove(self.account_id, credit.entry);
            let is_right = row.is_some_and(|row| {
                row.remaining_nano == credit.remaining_nano
                    && row.amount_nano == credit.amount_nano
                    && row.is_bought == credit.is_bought
                    && row.expires_at == credit.expires_at
            });
            if !is_right {
                return Some((Some(credit.entry), not_what_is_left.into()));
            }
        }
        let stray = rows.any_of(self.account_id)?.entry;
        let what = if stray <= self.begun_after {
            not_what_is_left
        } else {
            "a credit without its journal entry"
        };
        Some((Some(stray), what.into()))
    }
}
