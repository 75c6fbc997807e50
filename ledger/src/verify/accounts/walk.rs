//! Along one account's entries.

use shared::ids::UserId;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::credit_rows::CreditRows;
use super::entry::{cost, entry};
use crate::records::checkpoint::{Checkpoint, CreditLeft};
use crate::records::credit::CreditList;
use crate::records::entry::{Entry, MessageCharge};
use crate::records::hash::{Hash, account_id, genesis};
use crate::store::verification::account::StoredAccount;
use crate::store::verification::entry::{StoredEntry, StoredEntryPlace};
use crate::verify::pricing::Pricing;

const CHECKPOINT_MISSING: &str = "the entry of its checkpoint is missing or another one";

/// What the entries so far make of an account.
pub(super) struct Walk {
    pub account_id: Uuid,
    /// The last entry, its hash, and the balance after it.
    pub entry: i64,
    pub last_hash: Hash,
    pub balance_nano: i64,
    pub(super) credits: CreditList,
    /// The last entry that was read, also after something was found to be wrong.
    pub read: i64,
    /// Where the walk began: at the first entry, or after a checkpoint.
    pub(super) begun_after: i64,
    /// The checkpoint's own entry is to be met first.
    awaits_checkpoint: bool,
    /// A checkpoint that the walk comes by; it must be there what the checkpoint says.
    passes_by: Option<Checkpoint>,
    /// What is wrong, if something is, and at which entry: nothing after it can be told.
    pub fault: Option<(Option<i64>, String)>,
}

impl Walk {
    pub(super) fn from_first(account_id: Uuid, passes_by: Option<Checkpoint>) -> Self {
        Self {
            account_id,
            entry: 0,
            last_hash: genesis(account_id),
            balance_nano: 0,
            credits: CreditList::default(),
            read: 0,
            begun_after: 0,
            awaits_checkpoint: false,
            passes_by,
            fault: None,
        }
    }

    pub(super) fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            account_id: checkpoint.account_id,
            entry: checkpoint.entry,
            last_hash: checkpoint.hash,
            balance_nano: checkpoint.balance_nano,
            credits: checkpoint.credits(),
            // Its own entry is compared.
            read: checkpoint.entry - 1,
            begun_after: checkpoint.entry,
            awaits_checkpoint: true,
            passes_by: None,
            fault: None,
        }
    }

    /// Whether a row is the one that the walk begins at, which was verified before.
    pub(super) fn meets_checkpoint(&mut self, place: StoredEntryPlace) -> bool {
        let is_met = self.awaits_checkpoint
            && place.entry == self.entry
            && place.hash == Some(self.last_hash);
        self.awaits_checkpoint &= !is_met;
        is_met
    }

    /// What is wrong at an entry that was found to fit by itself.
    pub(super) fn find_at(&mut self, entry: i64, what: impl Into<String>) {
        let known = self.fault.as_ref().and_then(|(known, _)| *known);
        if self.fault.is_none() || known.is_none_or(|known| entry < known) {
            self.fault = Some((Some(entry), what.into()));
        }
    }

    pub(super) fn find(&mut self, entry: Option<i64>, what: impl Into<String>) {
        self.fault.get_or_insert((entry, what.into()));
    }

    /// Goes on by one entry; returns it if it fits.
    pub(super) fn step(
        &mut self,
        place: StoredEntryPlace,
        row: &PgRow,
        credits: &mut CreditRows,
        pricing: &Pricing,
    ) -> Option<Entry> {
        if self.fault.is_some() {
            return None;
        }
        match self.next(place, row, credits, pricing) {
            Ok(entry) => Some(entry),
            Err(what) => {
                self.find(Some(place.entry), what);
                None
            }
        }
    }

    fn next(
        &mut self,
        place: StoredEntryPlace,
        row: &PgRow,
        credits: &mut CreditRows,
        pricing: &Pricing,
    ) -> Result<Entry, String> {
        let number = place.entry;
        if self.awaits_checkpoint {
            return Err(CHECKPOINT_MISSING.into());
        }
        if number != self.entry + 1 {
            let missing = self.entry + 1;
            return Err(format!("entry {missing} is missing before entry {number}"));
        }
        let row = StoredEntry::of(row).map_err(|error| format!("cannot be read: {error}"))?;
        let terms = self.terms(number, &row, credits)?;
        let entry = entry(place, row, terms).map_err(|what| format!("was changed: {what}"))?;
        let hash = entry.hash(&self.last_hash);
        if Some(hash) != place.hash {
            return Err("was changed: its hash does not match".into());
        }
        if self.balance_nano.checked_add(entry.amount_nano()) != Some(entry.balance_after_nano) {
            return Err("balance after it is not the balance before plus its amount".into());
        }
        if let Some(message) = entry.message() {
            let fault = message_fault(&entry, message, pricing);
            fault.map_or(Ok(()), Err)?;
        }
        self.move_credits(&entry, credits)?;
        self.balance_nano = entry.balance_after_nano;
        self.entry = number;
        self.last_hash = hash;
        self.compare_checkpoint()?;
        Ok(entry)
    }

    fn compare_checkpoint(&mut self) -> Result<(), String> {
        let here = self.passes_by.take_if(|it| it.entry == self.entry);
        let is_right = here.is_none_or(|checkpoint| checkpoint == self.checkpoint());
        let what = "the checkpoint at it says something else than its entries";
        if is_right { Ok(()) } else { Err(what.into()) }
    }

    /// The account must say what its entries say.
    pub(super) fn close(
        &mut self,
        account: &StoredAccount,
        held_nano: i64,
        credits: &mut CreditRows,
    ) {
        if self.awaits_checkpoint {
            self.find(Some(self.entry), CHECKPOINT_MISSING);
        }
        if self.fault.is_none() {
            self.fault = self
                .account_fault(account, held_nano)
                .map(|what| (None, what))
                .or_else(|| self.credit_fault(credits));
        }
    }

    fn account_fault(&self, account: &StoredAccount, held_nano: i64) -> Option<String> {
        let user_id: Result<UserId, _> = account.user_id.parse();
        if user_id.map(|user| account_id(&user)) != Ok(self.account_id) {
            return Some("the account belongs to another user".into());
        }
        if account.entry_count != self.entry {
            return Some(format!(
                "the account counts {} entries, the journal has {}: the last ones are missing",
                account.entry_count, self.entry
            ));
        }
        let what = if account.balance_nano != self.balance_nano {
            "the account's balance is not the sum of its entries"
        } else if account.last_hash != self.last_hash {
            "the account's last hash is not its last entry's"
        } else if account.held_nano != held_nano {
            "what it holds is not the sum of its open holds"
        } else if self.passes_by.is_some() {
            "its checkpoint is at an entry that it does not have"
        } else {
            return None;
        };
        Some(what.into())
    }

    /// How far it has come.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            account_id: self.account_id,
            entry: self.entry,
            hash: self.last_hash,
            balance_nano: self.balance_nano,
            credits: self.credits.iter().map(CreditLeft::from).collect(),
        }
    }

    /// Whether it has gone on since it began.
    pub(super) const fn has_moved(&self) -> bool {
        self.entry > self.begun_after
    }
}

/// What is wrong with what an entry says of its message, as far as it tells by itself.
fn message_fault(entry: &Entry, message: &MessageCharge, pricing: &Pricing) -> Option<String> {
    let dues = message.dues;
    if cost(&message.lines) != Some(dues.cost_nano) {
        return Some("the message's cost is not the sum of its lines".into());
    }
    if dues.at_cost(dues.cost_nano) != dues {
        return Some(
            "what is owed of the message is not what its cost and its refunds make".into(),
        );
    }
    let is_first = message.before.is_none();
    if is_first && entry.amount_nano().checked_neg() != Some(dues.owed_nano) {
        return Some("takes another amount than its lines cost".into());
    }
    let fault = pricing.fault_of(&message.lines);
    fault.or_else(|| {
        let at = entry.draft.occurred_at;
        is_first.then(|| pricing.fault_of_first(&message.lines, at))?
    })
}
