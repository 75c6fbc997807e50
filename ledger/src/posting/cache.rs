//! The accounts that a writer wrote last, so that it need not read them again. The write refuses what
//! has changed since, so a stale one costs a second try and never a wrong balance.

use std::collections::HashMap;

use uuid::Uuid;

use super::accounts::Account;

/// Accounts kept by one writer, in two halves: what was not used while a half filled up is forgotten.
const HALF_ACCOUNTS_MAX: usize = 8_192;

#[derive(Default)]
pub(crate) struct AccountCache {
    recent: HashMap<Uuid, Account>,
    older: HashMap<Uuid, Account>,
}

impl AccountCache {
    pub(crate) fn get(&self, id: &Uuid) -> Option<&Account> {
        self.recent.get(id).or_else(|| self.older.get(id))
    }

    pub(crate) fn put(&mut self, account: Account) {
        if self.recent.len() >= HALF_ACCOUNTS_MAX {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(account.account_id, account);
    }

    pub(crate) fn forget(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            self.recent.remove(&id);
            self.older.remove(&id);
        }
    }
}

/// Digests that a writer has claimed lately: a message that is reported again is known without
/// running into its claim.
#[derive(Default)]
pub(crate) struct RecentClaims {
    recent: std::collections::HashSet<Uuid>,
    older: std::collections::HashSet<Uuid>,
}

/// Digests kept in each half: 16 bytes each, twice over for the table.
const HALF_CLAIMS_MAX: usize = 32_768;

impl RecentClaims {
    pub(crate) fn contains(&self, id: &Uuid) -> bool {
        self.recent.contains(id) || self.older.contains(id)
    }

    pub(crate) fn put(&mut self, id: Uuid) {
        if self.recent.len() >= HALF_CLAIMS_MAX {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(id);
    }
}
