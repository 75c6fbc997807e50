//! How far an account's entries were verified.

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use uuid::Uuid;

use super::credit::{Credit, CreditList, CreditState};
use super::hash::{Hash, Hasher};
use super::sealing::SealingKey;
use crate::error::Result;

/// An account after an entry: all that is needed to verify the entries after it as if from the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub account_id: Uuid,
    pub entry: i64,
    pub hash: Hash,
    pub balance_nano: i64,
    /// In the order in which they are used.
    pub credits: Vec<CreditLeft>,
}

/// A credit of which something was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreditLeft {
    entry: i64,
    amount: i64,
    left: i64,
    is_bought: bool,
    expires_at: Option<Timestamp>,
}

impl From<&Credit> for CreditLeft {
    fn from(credit: &Credit) -> Self {
        Self {
            entry: credit.entry,
            amount: credit.amount_nano,
            left: credit.remaining_nano,
            is_bought: credit.is_bought,
            expires_at: credit.expires_at.map(Timestamp::new),
        }
    }
}

impl Checkpoint {
    pub(crate) fn credits(&self) -> CreditList {
        let mut credits = CreditList::default();
        for left in &self.credits {
            credits.insert(Credit {
                entry: left.entry,
                amount_nano: left.amount,
                remaining_nano: left.left,
                is_bought: left.is_bought,
                expires_at: left.expires_at.map(Timestamp::moment),
                state: CreditState::Stored,
            });
        }
        credits
    }

    fn digest(&self) -> Hash {
        let mut hash = Hasher::new("tollgate checkpoint 1");
        hash.bytes(self.account_id.as_bytes());
        hash.int(self.entry);
        hash.bytes(&self.hash);
        hash.int(self.balance_nano);
        for credit in &self.credits {
            hash.int(credit.entry);
            hash.int(credit.amount);
            hash.int(credit.left);
            hash.count(credit.is_bought.into());
            hash.optional_moment(credit.expires_at.map(Timestamp::moment));
        }
        hash.finish()
    }

    pub(crate) fn seal(&self, key: &SealingKey) -> Result<Vec<u8>> {
        key.seal(&self.digest())
    }

    /// Whether whoever has the key has written just this.
    pub(crate) fn is_sealed_by(&self, seal: &[u8], key: &SealingKey) -> bool {
        key.open(seal)
            .is_ok_and(|digest| digest == self.digest().as_slice())
    }
}
