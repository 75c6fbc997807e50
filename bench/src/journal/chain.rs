//! The hashes of entries and the ids made of hashes, apart from the ledger's own code: `tollgate verify`
//! is held against it.

use sha2::{Digest, Sha256};

pub type Id = [u8; 16];
pub type ChainHash = [u8; 32];

/// An entry, as far as journals in here have such.
pub struct ChainedEntry<'a> {
    pub account: &'a Id,
    pub number: u64,
    /// When it happened and when it was recorded: microseconds since 1970.
    pub at: u64,
    pub balance_after_nano: i64,
    pub content: ChainedContent<'a>,
}

pub enum ChainedContent<'a> {
    Grant {
        nano: i64,
        reason: &'a str,
        actor: &'a str,
    },
    /// The first charge of a message, with one line.
    ChainedCharge(ChainedCharge<'a>),
}

pub struct ChainedCharge<'a> {
    pub message: &'a Id,
    pub api_key: &'a Id,
    pub namespace: u64,
    pub entrance: &'a str,
    pub message_id: &'a str,
    pub conversation_id: &'a str,
    pub request_id: &'a str,
    pub model: &'a str,
    pub input: u64,
    pub output: u64,
    pub price_version: u64,
    pub cost_nano: i64,
}

pub fn account_id(user: &str) -> Id {
    let digest = Sha256::new().chain_update("tollgate account\0");
    first_half(&digest.chain_update(user).finalize().into())
}

pub fn message_id(namespace: u64, id: &str) -> Id {
    let digest = Sha256::new().chain_update("tollgate message\0");
    let digest = digest.chain_update(namespace.to_be_bytes());
    first_half(&digest.chain_update(id).finalize().into())
}

/// Where an account's chain begins.
pub fn genesis(account: &Id) -> ChainHash {
    let digest = Sha256::new().chain_update("tollgate chain\0");
    digest.chain_update(account).finalize().into()
}

fn first_half(hash: &ChainHash) -> Id {
    let mut id = [0; 16];
    id.copy_from_slice(hash.split_at(16).0);
    id
}

impl ChainedEntry<'_> {
    pub fn hash(&self, previous: &ChainHash) -> ChainHash {
        let mut fields = HashedFields(Sha256::new());
        fields.bytes(b"tollgate entry 2");
        fields.bytes(previous);
        fields.bytes(self.account);
        fields.number(self.number);
        fields.moment(self.at);
        fields.moment(self.at);
        match &self.content {
            ChainedContent::Grant {
                nano,
                reason,
                actor,
            } => {
                fields.bytes(b"grant");
                fields.amounts(&[*nano, self.balance_after_nano]);
                // It corrects no entry.
                fields.number(0);
                fields.optional(Some(reason));
                fields.optional(Some(actor));
                // Not bought, and good for ever.
                fields.number(0);
                fields.0.update([0]);
                fields.moment(0);
            }
            ChainedContent::ChainedCharge(charge) => {
                fields.bytes(b"charge");
                fields.amounts(&[-charge.cost_nano, self.balance_after_nano]);
                // It corrects no entry, and has neither reason nor actor.
                fields.number(0);
                fields.optional(None);
                fields.optional(None);
                charge.hash_into(&mut fields);
            }
        }
        fields.0.finalize().into()
    }
}

impl ChainedCharge<'_> {
    fn hash_into(&self, fields: &mut HashedFields) {
        fields.bytes(self.message);
        // The message has no entry before.
        fields.number(0);
        fields.bytes(self.api_key);
        fields.number(self.namespace);
        fields.bytes(self.entrance.as_bytes());
        fields.bytes(self.message_id.as_bytes());
        fields.optional(Some(self.conversation_id));
        fields.optional(Some(self.request_id));
        // Cost and what is owed; nothing was refunded.
        fields.amounts(&[self.cost_nano, self.cost_nano, 0, 0]);
        // The line: of no call, the first as a whole, of report 0.
        fields.optional(None);
        fields.number(0);
        fields.number(0);
        fields.bytes(self.model.as_bytes());
        for tokens in [self.input, 0, 0, self.output, 0] {
            fields.number(tokens);
        }
        fields.bytes(b"measured");
        fields.number(self.price_version);
        fields.amounts(&[self.cost_nano]);
    }
}

/// Fields one after the other, texts after their lengths.
struct HashedFields(Sha256);

impl HashedFields {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.update(bytes);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn amounts(&mut self, nano: &[i64]) {
        for nano in nano {
            self.0.update(nano.to_be_bytes());
        }
    }

    fn moment(&mut self, micros: u64) {
        self.0.update(i128::from(micros).to_be_bytes());
    }
}
