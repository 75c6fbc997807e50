//! Accounts while a transaction holds their locks, or finds them unchanged when it writes: the only
//! way to append to a chain, so that balance, credits, holds, hashes and rollups move together.

mod write;

use std::collections::hash_map;
use std::collections::{BTreeSet, HashMap};

use shared::api::EntryKind;
use shared::ids::UserId;
use shared::money::{Overflow, Points};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::{self, Entry, Hash};
use crate::credits::{Credit, CreditState, Credits};
use crate::deliveries::Trace;
use crate::error::{Error, Result};
use crate::journal::{self, Draft, Link, counter_account, hash_from};

/// How a transaction begins that is to lock accounts: with [`crate::connection::BY_KEYS`], in one round trip.
pub(crate) const BEGIN: &str = "begin; set local plan_cache_mode = force_generic_plan;
    set local enable_seqscan = off; set local enable_hashjoin = off;
    set local enable_mergejoin = off; set local enable_material = off; set local jit = off";

/// The rows from which [`Accounts::take`] reads accounts and their credits: those of a list of ids,
/// behind further columns, which must say when it is `now`.
macro_rules! account_rows {
    ($ids:literal, $columns:literal) => {
        concat!(
            "select ",
            $columns,
            " a.account_id, a.balance_nano, a.held_nano, a.debt_limit_nano, a.entry_count, a.last_hash,
                c.entry, c.amount_nano, c.remaining_nano, c.is_bought, c.expires_at
             from account a
             left join credit c on c.account_id = a.account_id and c.remaining_nano > 0
             where a.account_id = any(",
            $ids,
            ")"
        )
    };
}
pub(crate) use account_rows;

/// The accounts of one transaction, and the entries it appends to them.
pub(crate) struct Accounts {
    accounts: HashMap<Uuid, Account>,
    links: Vec<Link>,
    now: OffsetDateTime,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub account_id: Uuid,
    pub balance_nano: i64,
    pub held_nano: i64,
    pub debt_limit_nano: i64,
    entry_count: i64,
    /// Before this transaction.
    entry_count_read: i64,
    last_hash: Hash,
    credits: Credits,
    is_changed: bool,
}

/// Opens the accounts that are not open yet. Must not be called while row locks are held: inserting
/// under locks could deadlock with another process.
pub(crate) async fn open(connection: &mut PgConnection, users: &[&UserId]) -> Result<()> {
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

/// Locks accounts in the order of their ids; `None` when some are not open yet.
pub(crate) async fn lock(
    tx: &mut PgConnection,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<Option<Accounts>> {
    let ids = ordered(ids);
    if !lock_rows(tx, &ids).await? {
        return Ok(None);
    }
    let rows = sqlx::query(account_rows!("$1", "clock_timestamp() as now,"))
        .bind(&ids)
        .fetch_all(tx)
        .await?;
    let mut accounts = Accounts::none();
    accounts.take(&rows)?;
    Ok(Some(accounts))
}

/// Each id once, in the order in which rows are locked.
pub(crate) fn ordered(ids: impl IntoIterator<Item = Uuid>) -> Vec<Uuid> {
    let ids: BTreeSet<Uuid> = ids.into_iter().collect();
    ids.into_iter().collect()
}

/// The first half of [`lock`], for ids that are [`ordered`]; `false` when some are not open yet. What
/// [`account_rows`] tells must be read after the locks are granted, so by a statement of its own.
pub(crate) async fn lock_rows(tx: &mut PgConnection, ids: &[Uuid]) -> Result<bool> {
    let locked = sqlx::query(
        "select from account where account_id = any($1) order by account_id for update",
    )
    .bind(ids)
    .execute(tx)
    .await?;
    Ok(usize::try_from(locked.rows_affected()) == Ok(ids.len()))
}

/// Opens and locks one user's account.
pub(crate) async fn lock_user(connection: &mut PgConnection, user: &UserId) -> Result<Accounts> {
    let id = chain::account_id(user);
    lock(connection, [id])
        .await?
        .ok_or_else(|| Error::corrupt("an account that was just opened is missing"))
}

impl Accounts {
    /// For what is written about no account.
    pub(crate) fn none() -> Self {
        Self {
            accounts: HashMap::new(),
            links: Vec::new(),
            now: OffsetDateTime::UNIX_EPOCH,
        }
    }

    /// Takes the time and the accounts from rows of [`account_rows`]; those without an account tell
    /// something else. The time is later than that of every entry on these accounts: they are locked,
    /// or it turns out when they are written that they have changed. Enters the expiry of what is past
    /// its time.
    pub(crate) fn take(&mut self, rows: &[PgRow]) -> Result<()> {
        for row in rows {
            self.now = row.try_get("now")?;
            let Some(account_id) = row.try_get::<Option<Uuid>, _>("account_id")? else {
                continue;
            };
            let account = match self.accounts.entry(account_id) {
                hash_map::Entry::Occupied(account) => account.into_mut(),
                hash_map::Entry::Vacant(place) => place.insert(Account::from_row(account_id, row)?),
            };
            if let Some(entry) = row.try_get("entry")? {
                account.credits.insert(Credit {
                    entry,
                    amount_nano: row.try_get("amount_nano")?,
                    remaining_nano: row.try_get("remaining_nano")?,
                    is_bought: row.try_get("is_bought")?,
                    expires_at: row.try_get("expires_at")?,
                    state: CreditState::Stored,
                });
            }
        }
        self.expire_credits()
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.accounts.len()
    }

    /// When the accounts were read: the time of everything this transaction records.
    pub(crate) const fn now(&self) -> OffsetDateTime {
        self.now
    }

    pub(crate) fn get(&self, user: &UserId) -> Result<&Account> {
        self.accounts
            .get(&chain::account_id(user))
            .ok_or_else(|| Error::corrupt("an account that is not locked"))
    }

    pub(crate) fn get_mut(&mut self, account_id: Uuid) -> Result<&mut Account> {
        self.accounts
            .get_mut(&account_id)
            .ok_or_else(|| Error::corrupt("an account that is not locked"))
    }

    /// Appends an entry. On overflow nothing has changed.
    pub(crate) fn append(
        &mut self,
        account_id: Uuid,
        draft: Draft,
    ) -> Result<std::result::Result<&Link, Overflow>> {
        let now = self.now;
        let account = self.get_mut(account_id)?;
        match account.append(draft, now) {
            Ok(link) => {
                self.links.push(link);
                self.links
                    .last()
                    .map(Ok)
                    .ok_or_else(|| Error::corrupt("no entry"))
            }
            Err(overflow) => Ok(Err(overflow)),
        }
    }

    /// Takes away what is past its time, before anything else happens on the account.
    fn expire_credits(&mut self) -> Result<()> {
        let now = self.now;
        for account in self.accounts.values_mut() {
            while let Some(credit) = account.credits.next_expired(now) {
                let (entry, remaining) = (credit.entry, credit.remaining_nano);
                let draft = Draft {
                    occurred_at: credit.expires_at.unwrap_or(now),
                    kind: EntryKind::Expiry,
                    amount: Points::from_nano(remaining).negated()?,
                    corrects_entry: Some(entry),
                    reason: Some("expired".into()),
                    actor: Some("tollgate".into()),
                    consumption: None,
                    terms: journal::CreditTerms::default(),
                };
                self.links.push(account.append(draft, now)?);
            }
        }
        Ok(())
    }

    /// Writes everything that was appended and changed.
    pub(crate) async fn write(&self, tx: &mut PgConnection) -> Result<()> {
        write::write(self, &[], tx).await
    }

    /// As [`Accounts::write`], with the deliveries' rows.
    pub(crate) async fn write_traced(
        &self,
        tx: &mut PgConnection,
        traces: &[Trace<'_>],
    ) -> Result<()> {
        write::write(self, traces, tx).await
    }

    /// As [`Accounts::write_traced`], in a transaction of its own, of accounts that were read without
    /// locking them: `false`, and nothing is written, when one of them, or a price, has changed since.
    pub(crate) async fn write_at_once(
        &self,
        connection: &mut PgConnection,
        traces: &[Trace<'_>],
        price_revision: i64,
    ) -> Result<bool> {
        write::write_at_once(self, traces, price_revision, connection).await
    }
}

impl Account {
    fn from_row(account_id: Uuid, row: &PgRow) -> Result<Self> {
        let entry_count = row.try_get("entry_count")?;
        Ok(Self {
            account_id,
            balance_nano: row.try_get("balance_nano")?,
            held_nano: row.try_get("held_nano")?,
            debt_limit_nano: row.try_get("debt_limit_nano")?,
            entry_count,
            entry_count_read: entry_count,
            last_hash: hash_from(row.try_get("last_hash")?)?,
            credits: Credits::default(),
            is_changed: false,
        })
    }

    /// What new holds can use: the balance less what is held, and what may be owed.
    pub(crate) fn usable_nano(&self) -> i64 {
        self.balance_nano
            .saturating_sub(self.held_nano)
            .saturating_add(self.debt_limit_nano)
    }

    pub(crate) fn set_debt_limit(&mut self, limit: Points) {
        self.debt_limit_nano = limit.nano();
        self.is_changed = true;
    }

    /// Promises points, if they are there.
    pub(crate) fn hold(&mut self, amount: Points) -> bool {
        let fits = amount.nano() <= self.usable_nano();
        if fits && let Some(held) = self.held_nano.checked_add(amount.nano()) {
            self.held_nano = held;
            self.is_changed = true;
            return true;
        }
        false
    }

    /// Frees points that were promised.
    pub(crate) fn unhold(&mut self, amount_nano: i64) -> Result<()> {
        self.held_nano = self
            .held_nano
            .checked_sub(amount_nano)
            .filter(|held| *held >= 0)
            .ok_or_else(|| Error::corrupt("more points are freed than are held"))?;
        self.is_changed = true;
        Ok(())
    }

    fn append(&mut self, draft: Draft, now: OffsetDateTime) -> std::result::Result<Link, Overflow> {
        let before = Points::from_nano(self.balance_nano);
        let after = before.plus(draft.amount)?;
        let number = self.entry_count.checked_add(1).ok_or(Overflow)?;
        let (consumption, identity) = match draft.consumption {
            Some(claim) => (Some(claim.consumption), Some(claim.identity)),
            None => (None, None),
        };
        let entry = Entry {
            account_id: self.account_id,
            entry: number,
            recorded_at: now,
            occurred_at: draft.occurred_at,
            kind: draft.kind,
            amount_nano: draft.amount.nano(),
            counter_account: counter_account(draft.kind),
            balance_after_nano: after.nano(),
            corrects_entry: draft.corrects_entry,
            reason: draft.reason,
            actor: draft.actor,
            consumption,
            terms: draft.terms,
        };
        if draft.amount.is_negative() {
            let taken = draft.amount.negated()?.nano();
            match (draft.kind, draft.corrects_entry) {
                (EntryKind::Expiry, Some(credit)) => self.credits.burn_entry(credit, taken),
                _ => self.credits.burn(taken),
            }
        } else if !draft.amount.is_zero() {
            // Points that come in pay a debt first; what is left of them is the credit.
            let debt = before.nano().min(0).saturating_neg();
            self.credits.insert(Credit {
                entry: number,
                amount_nano: draft.amount.nano(),
                remaining_nano: (draft.amount.nano() - debt).max(0),
                is_bought: draft.terms.is_bought,
                expires_at: draft.terms.expires_at,
                state: CreditState::New,
            });
        }
        let previous_hash = self.last_hash;
        let hash = entry.hash(&previous_hash);
        self.balance_nano = entry.balance_after_nano;
        self.entry_count = number;
        self.last_hash = hash;
        self.is_changed = true;
        Ok(Link {
            entry,
            previous_hash,
            hash,
            identity,
        })
    }
}
