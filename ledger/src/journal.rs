//! Entries: what they say, how they get their place in the chain, and how they are written.

use shared::api::EntryKind;
use shared::money::Points;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::chain::{Entry, Hash};
use crate::consumption::Consumption;
use crate::error::{Error, Result};

/// What is to be entered.
pub(crate) struct Draft {
    pub occurred_at: OffsetDateTime,
    pub kind: EntryKind,
    /// What the account gains.
    pub amount: Points,
    pub corrects_entry: Option<i64>,
    pub reason: Option<String>,
    pub actor: Option<String>,
    pub consumption: Option<Consumption>,
    /// What becomes of points that come in.
    pub terms: CreditTerms,
}

/// Where points that come in belong in the burn order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CreditTerms {
    pub is_bought: bool,
    pub expires_at: Option<OffsetDateTime>,
}

/// An entry with its place in the chain.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub entry: Entry,
    pub previous_hash: Hash,
    pub hash: Hash,
}

/// The account on the other side of a transfer.
pub(crate) const fn counter_account(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Charge | EntryKind::Refund | EntryKind::Rerate => "revenue",
        EntryKind::Grant => "issuance",
        EntryKind::Expiry => "expiry",
        EntryKind::Adjustment => "adjustment",
    }
}

pub(crate) fn hash_from(bytes: Vec<u8>) -> Result<Hash> {
    bytes
        .try_into()
        .map_err(|_| Error::corrupt("a hash that is not 32 bytes long"))
}

pub(crate) async fn insert(tx: &mut PgConnection, links: &[&Link]) -> Result<()> {
    macro_rules! column {
        ($field:expr) => {
            links.iter().map($field).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "insert into journal_entry (account_id, entry, recorded_at, occurred_at, kind, amount_nano,
             counter_account, balance_after_nano, consumption_id, corrects_entry, reason, actor,
             previous_hash, hash)
         select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[],
             $5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::uuid[], $10::bigint[],
             $11::text[], $12::text[], $13::bytea[], $14::bytea[])",
    )
    .bind(column!(|link| link.entry.account_id))
    .bind(column!(|link| link.entry.entry))
    .bind(column!(|link| link.entry.recorded_at))
    .bind(column!(|link| link.entry.occurred_at))
    .bind(column!(|link| link.entry.kind.as_str()))
    .bind(column!(|link| link.entry.amount_nano))
    .bind(column!(|link| link.entry.counter_account))
    .bind(column!(|link| link.entry.balance_after_nano))
    .bind(column!(|link| {
        let consumption = link.entry.consumption.as_ref();
        consumption.map(|used| used.consumption_id)
    }))
    .bind(column!(|link| link.entry.corrects_entry))
    .bind(column!(|link| link.entry.reason.as_deref()))
    .bind(column!(|link| link.entry.actor.as_deref()))
    .bind(column!(|link| link.previous_hash.as_slice()))
    .bind(column!(|link| link.hash.as_slice()))
    .execute(tx)
    .await?;
    Ok(())
}
