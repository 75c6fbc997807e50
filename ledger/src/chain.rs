//! The hash chain of an account's entries. Each entry's hash covers every stored field of the
//! entry, the consumption it charges, the terms of the credit it brings, and the hash before it, so
//! that no row can be changed, removed or reordered without breaking every later one.

use sha2::{Digest, Sha256};
use shared::api::EntryKind;
use shared::ids::UserId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::consumption::Consumption;
use crate::journal::CreditTerms;

pub(crate) type Hash = [u8; 32];

/// What an entry says, without its place in the chain.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub account_id: Uuid,
    pub entry: i64,
    pub recorded_at: OffsetDateTime,
    pub occurred_at: OffsetDateTime,
    pub kind: EntryKind,
    pub amount_nano: i64,
    pub counter_account: &'static str,
    pub balance_after_nano: i64,
    pub corrects_entry: Option<i64>,
    pub reason: Option<String>,
    pub actor: Option<String>,
    pub consumption: Option<Consumption>,
    /// Of points that come in: how their credit may be used.
    pub terms: CreditTerms,
}

/// The account's id: the first 16 bytes of a SHA-256, so that it needs no lookup.
pub(crate) fn account_id(user: &UserId) -> Uuid {
    let digest: Hash = Sha256::new()
        .chain_update("tollgate account\0")
        .chain_update(user.as_str())
        .finalize()
        .into();
    let mut id = [0; 16];
    id.copy_from_slice(digest.split_at(16).0);
    Uuid::from_bytes(id)
}

/// Where an account's chain begins.
pub(crate) fn genesis(account_id: Uuid) -> Hash {
    Sha256::new()
        .chain_update("tollgate chain\0")
        .chain_update(account_id.as_bytes())
        .finalize()
        .into()
}

impl Entry {
    pub(crate) fn hash(&self, previous: &Hash) -> Hash {
        let mut hash = Hasher::new("tollgate entry 1");
        hash.bytes(previous);
        hash.bytes(self.account_id.as_bytes());
        hash.int(self.entry);
        hash.moment(self.recorded_at);
        hash.moment(self.occurred_at);
        hash.text(self.kind.as_str());
        hash.int(self.amount_nano);
        hash.text(self.counter_account);
        hash.int(self.balance_after_nano);
        hash.int(self.corrects_entry.unwrap_or(0));
        hash.optional(self.reason.as_deref());
        hash.optional(self.actor.as_deref());
        if let Some(consumption) = &self.consumption {
            consumption.hash_into(&mut hash);
        }
        if self.amount_nano > 0 && self.terms != CreditTerms::default() {
            hash.count(self.terms.is_bought.into());
            hash.optional_moment(self.terms.expires_at);
        }
        hash.finish()
    }
}

/// Hashes fields so that no two different lists of fields give the same bytes: each is preceded by
/// its length.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn new(purpose: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.text(purpose);
        hasher
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // A length always fits: it comes from memory.
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// An absent text differs from an empty one.
    pub(crate) fn optional(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }

    pub(crate) fn int(&mut self, value: i64) {
        self.0.update(value.to_be_bytes());
    }

    pub(crate) fn count(&mut self, value: u64) {
        self.0.update(value.to_be_bytes());
    }

    pub(crate) fn moment(&mut self, moment: OffsetDateTime) {
        self.0
            .update((moment.unix_timestamp_nanos() / 1000).to_be_bytes());
    }

    fn optional_moment(&mut self, moment: Option<OffsetDateTime>) {
        self.0.update([u8::from(moment.is_some())]);
        self.moment(moment.unwrap_or(OffsetDateTime::UNIX_EPOCH));
    }

    pub(crate) fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use shared::tokens::Tokens;
    use time::Duration;

    use super::*;
    use crate::consumption::Line;

    const THEN: OffsetDateTime = time::macros::datetime!(2023-11-14 22:13:20 UTC);

    fn entry(entry: i64, kind: EntryKind, amount_nano: i64, balance_after_nano: i64) -> Entry {
        let is_charge = kind == EntryKind::Charge;
        let told = |text: &str| (!is_charge).then(|| text.to_owned());
        Entry {
            account_id: account_id(&"ada".parse().expect("a user")),
            entry,
            recorded_at: THEN + Duration::seconds(entry) + Duration::microseconds(1),
            occurred_at: THEN,
            kind,
            amount_nano,
            counter_account: if kind == EntryKind::Grant {
                "issuance"
            } else {
                "revenue"
            },
            balance_after_nano,
            corrects_entry: None,
            reason: told("a gift"),
            actor: told("ops"),
            consumption: None,
            terms: CreditTerms::default(),
        }
    }

    fn consumption(part: i32, call_id: Option<&str>) -> Consumption {
        let line = |model_name: &str, price_version_id, charge_nano| Line {
            call_id: call_id.map(str::to_owned),
            model_name: model_name.parse().expect("a model"),
            model_key: model_name.to_lowercase(),
            tokens: Tokens {
                input: 1,
                cached_input: 2,
                cache_write: 3,
                output: 4,
                reasoning: 5,
            },
            price_version_id,
            charge_nano,
        };
        Consumption {
            consumption_id: Uuid::from_u128(1),
            namespace_id: 1,
            message_id: "m-1".into(),
            part,
            conversation_id: Some("c-1".into()),
            request_id: None,
            api_key_id: Uuid::from_u128(2),
            entrance: "webhook".into(),
            occurred_at: THEN,
            total_tokens: 15,
            charge_nano: 93,
            lines: vec![line("GPT-4", 7, 60), line("claude", 8, 33)],
        }
    }

    /// The expected hashes come from a second implementation of the format, not from this one.
    #[test]
    fn a_chain_that_was_written_before_stays_whole() {
        let grant = entry(1, EntryKind::Grant, 100, 100);
        let mut bought = entry(2, EntryKind::Grant, 100, 200);
        bought.terms = CreditTerms {
            is_bought: true,
            expires_at: Some(THEN),
        };
        let mut kept = entry(3, EntryKind::Grant, 100, 300);
        kept.terms = CreditTerms {
            is_bought: true,
            expires_at: None,
        };
        let mut charge = entry(4, EntryKind::Charge, -93, 207);
        charge.consumption = Some(consumption(0, None));
        let mut part = entry(5, EntryKind::Charge, -93, 114);
        part.consumption = Some(consumption(1, Some("call-1")));
        let mut refund = entry(6, EntryKind::Refund, 93, 207);
        refund.corrects_entry = Some(4);

        let hex =
            |hash: Hash| -> String { hash.iter().map(|byte| format!("{byte:02x}")).collect() };
        assert_eq!(
            grant.account_id.to_string(),
            "60aef15a-8376-44a2-8790-57cf97095ccf"
        );
        let mut last = genesis(grant.account_id);
        let mut hashes = vec![hex(last)];
        for entry in [grant, bought, kept, charge, part, refund] {
            last = entry.hash(&last);
            hashes.push(hex(last));
        }
        assert_eq!(
            hashes,
            [
                "540b80945eeb56a2101b80e9ac1dfed0e659a9da1d1b3bb7bbc759cb8956f97a",
                "3f1cf2780d98db9234e8dac8d07685049e4708af7d657d3a27bb5b4b6e0be60d",
                "bffa626ade29c0037e20230f8f212e872ab08cb99ebd4b9d4eb0fda15b491556",
                "99caab2321ae7e0a066bf7f216c986bc611ab7dcd0c86d5ff19fda8738d1c592",
                "b1b9ff29bddd9e2b18089e0c1b3177034803b25121926e6a610925da10dda153",
                "594b1909d96b48a108529eefe010a7199985c88516c0238742f8b768698cc52c",
                "990fe9475df684c97482ea62c9d24a90efb27a887132f89e3ab0336b3f291885",
            ]
        );
    }
}
