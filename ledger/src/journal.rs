//! Accounts while a transaction holds their locks, and the entries it appends to their chains.

use std::collections::{BTreeSet, HashMap};

use shared::api::EntryKind;
use shared::ids::UserId;
use shared::money::{Overflow, Points};
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::{self, Entry, Hash};
use crate::consumption::Consumption;
use crate::error::{Error, Result};

/// An account whose row lock the transaction holds.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub account_id: Uuid,
    pub balance_nano: i64,
    pub held_nano: i64,
    pub entry_count: i64,
    pub last_hash: Hash,
    entry_count_before: i64,
}

/// What is to be entered.
pub(crate) struct Draft {
    pub recorded_at: OffsetDateTime,
    pub occurred_at: OffsetDateTime,
    pub kind: EntryKind,
    /// What the account gains.
    pub amount: Points,
    pub reason: Option<String>,
    pub actor: Option<String>,
    pub consumption: Option<Consumption>,
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
        EntryKind::Charge => "revenue",
        EntryKind::Grant => "issuance",
        EntryKind::Adjustment => "adjustment",
    }
}

impl Account {
    /// Appends to the chain in memory; [`insert`] and [`update_accounts`] write it.
    pub(crate) fn append(&mut self, draft: Draft) -> std::result::Result<Link, Overflow> {
        let balance_after = Points::from_nano(self.balance_nano).plus(draft.amount)?;
        let entry = Entry {
            account_id: self.account_id,
            entry: self.entry_count.checked_add(1).ok_or(Overflow)?,
            recorded_at: draft.recorded_at,
            occurred_at: draft.occurred_at,
            kind: draft.kind,
            amount_nano: draft.amount.nano(),
            counter_account: counter_account(draft.kind),
            balance_after_nano: balance_after.nano(),
            corrects_entry: None,
            reason: draft.reason,
            actor: draft.actor,
            consumption: draft.consumption,
        };
        let previous_hash = self.last_hash;
        let hash = entry.hash(&previous_hash);
        self.balance_nano = entry.balance_after_nano;
        self.entry_count = entry.entry;
        self.last_hash = hash;
        Ok(Link {
            entry,
            previous_hash,
            hash,
        })
    }
}

pub(crate) fn hash_from(bytes: Vec<u8>) -> Result<Hash> {
    bytes
        .try_into()
        .map_err(|_| Error::corrupt("a hash that is not 32 bytes long"))
}

/// Locks the users' accounts, in the order of their ids; `None` when some are not open yet.
pub(crate) async fn lock_accounts(
    tx: &mut PgConnection,
    users: &[&UserId],
) -> Result<Option<HashMap<Uuid, Account>>> {
    let ids: BTreeSet<Uuid> = users.iter().map(|user| chain::account_id(user)).collect();
    let wanted = ids.len();
    let rows = sqlx::query(
        "select account_id, balance_nano, held_nano, entry_count, last_hash from account
         where account_id = any($1) order by account_id for update",
    )
    .bind(ids.into_iter().collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    if rows.len() < wanted {
        return Ok(None);
    }
    let mut accounts = HashMap::with_capacity(rows.len());
    for row in rows {
        let account_id = row.try_get("account_id")?;
        let entry_count = row.try_get("entry_count")?;
        accounts.insert(
            account_id,
            Account {
                account_id,
                balance_nano: row.try_get("balance_nano")?,
                held_nano: row.try_get("held_nano")?,
                entry_count,
                last_hash: hash_from(row.try_get("last_hash")?)?,
                entry_count_before: entry_count,
            },
        );
    }
    Ok(Some(accounts))
}

/// Opens the accounts that are not open yet. Must not be called while row locks are held.
pub(crate) async fn open_accounts(connection: &mut PgConnection, users: &[&UserId]) -> Result<()> {
    let mut accounts: Vec<_> = users
        .iter()
        .map(|user| (chain::account_id(user), user.as_str()))
        .collect();
    accounts.sort_unstable();
    accounts.dedup();
    sqlx::query(
        "insert into account (account_id, user_id, last_hash)
         select * from unnest($1::uuid[], $2::text[], $3::bytea[])
         on conflict do nothing",
    )
    .bind(accounts.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(accounts.iter().map(|(_, user)| *user).collect::<Vec<_>>())
    .bind(
        accounts
            .iter()
            .map(|(id, _)| chain::genesis(*id).to_vec())
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
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
    .bind(column!(|link| link
        .entry
        .consumption
        .as_ref()
        .map(|used| used.consumption_id)))
    .bind(column!(|link| link.entry.corrects_entry))
    .bind(column!(|link| link.entry.reason.as_deref()))
    .bind(column!(|link| link.entry.actor.as_deref()))
    .bind(column!(|link| link.previous_hash.as_slice()))
    .bind(column!(|link| link.hash.as_slice()))
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes back the accounts that were appended to.
pub(crate) async fn update_accounts(
    tx: &mut PgConnection,
    accounts: impl IntoIterator<Item = &Account>,
    now: OffsetDateTime,
) -> Result<()> {
    let changed: Vec<_> = accounts
        .into_iter()
        .filter(|account| account.entry_count != account.entry_count_before)
        .collect();
    macro_rules! column {
        ($field:expr) => {
            changed.iter().map($field).collect::<Vec<_>>()
        };
    }
    let updated = sqlx::query(
        "update account a set balance_nano = t.balance_nano, entry_count = t.entry_count,
             last_hash = t.last_hash, updated_at = $5
         from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[])
             as t (account_id, balance_nano, entry_count, last_hash)
         where a.account_id = t.account_id",
    )
    .bind(column!(|account| account.account_id))
    .bind(column!(|account| account.balance_nano))
    .bind(column!(|account| account.entry_count))
    .bind(column!(|account| account.last_hash.as_slice()))
    .bind(now)
    .execute(tx)
    .await?
    .rows_affected();
    if usize::try_from(updated) == Ok(changed.len()) {
        Ok(())
    } else {
        Err(Error::corrupt("an account vanished while it was locked"))
    }
}
