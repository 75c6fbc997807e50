//! Accounts of one transaction: locked, or as they were known when it was computed.

use std::collections::BTreeSet;
use std::collections::hash_map::{self, HashMap};

use shared::ids::UserId;
use shared::money::{Overflow, Points};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::credit::{Credit, CreditList, CreditState};
use crate::records::entry::{Content, Draft, Entry};
use crate::records::hash::{Hash, account_id, genesis};
use crate::store;
use crate::store::account::AccountRow;
use crate::store::rows::{AccountChange, AccountLimits, CreditChange, NewCredit, NewEntry};
use crate::store::write::Rows;

/// How a transaction begins that is to lock accounts: with
/// [`crate::store::connection::BY_KEYS`], in one round trip.
pub(crate) const BEGIN: &str = "begin; set local plan_cache_mode = force_generic_plan;
    set local enable_seqscan = off; set local enable_hashjoin = off;
    set local enable_mergejoin = off; set local enable_material = off; set local jit = off";

/// The accounts of one transaction, and the entries it appends to them.
pub(crate) struct Accounts {
    accounts: HashMap<Uuid, Account>,
    entries: Vec<PostedRow>,
    now: OffsetDateTime,
    is_locked: bool,
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
    credits: CreditList,
    is_changed: bool,
}

/// An entry with its hash.
#[derive(Debug)]
pub(crate) struct PostedRow {
    pub entry: Entry,
    hash: Hash,
}

/// Opens the accounts that are not open yet. Must not be called while row locks are held: inserting
/// under locks could deadlock with another process.
pub(crate) async fn open(connection: &mut PgConnection, users: &[&UserId]) -> Result<()> {
    let ids: BTreeSet<(Uuid, &str)> = users
        .iter()
        .map(|user| (account_id(user), user.as_str()))
        .collect();
    let accounts: Vec<_> = ids
        .into_iter()
        .map(|(id, user)| (id, user, genesis(id)))
        .collect();
    store::account::open(connection, &accounts).await
}

/// Each id once, in the order in which rows are locked.
pub(crate) fn ordered(ids: impl IntoIterator<Item = Uuid>) -> Vec<Uuid> {
    let ids: BTreeSet<Uuid> = ids.into_iter().collect();
    ids.into_iter().collect()
}

/// Locks accounts, and reads them once the locks are granted; `None` when some are not open yet.
pub(crate) async fn lock(
    tx: &mut PgConnection,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<Option<Accounts>> {
    let ids = ordered(ids);
    if usize::try_from(store::account::lock(tx, &ids).await?) != Ok(ids.len()) {
        return Ok(None);
    }
    if ids.is_empty() {
        return Ok(Some(Accounts::none(store::account::now(tx).await?)));
    }
    let rows = store::account::read(tx, &ids).await?;
    let mut accounts = Accounts::read(rows)?;
    accounts.is_locked = true;
    Ok(Some(accounts))
}

/// Opens and locks one user's account.
pub(crate) async fn lock_user(connection: &mut PgConnection, user: &UserId) -> Result<Accounts> {
    lock(connection, [account_id(user)])
        .await?
        .ok_or_else(|| Error::corrupt("an account that was just opened is missing"))
}

impl Accounts {
    /// For what is written about no account.
    pub(crate) fn none(now: OffsetDateTime) -> Self {
        Self {
            accounts: HashMap::new(),
            entries: Vec::new(),
            now,
            is_locked: false,
        }
    }

    /// As they are at a time, from rows of the database. What is past its time runs out first.
    pub(crate) fn read(rows: Vec<AccountRow>) -> Result<Self> {
        let mut accounts = Self::none(OffsetDateTime::UNIX_EPOCH);
        for row in rows {
            accounts.now = row.now;
            accounts.add_row(&row);
        }
        accounts.expire_credits()?;
        Ok(accounts)
    }

    /// As they are known.
    pub(crate) fn known(known: Vec<Account>, now: OffsetDateTime) -> Result<Self> {
        let mut accounts = Self::none(now);
        let known = known
            .into_iter()
            .map(|account| (account.account_id, account));
        accounts.accounts = known.collect();
        accounts.expire_credits()?;
        Ok(accounts)
    }

    fn add_row(&mut self, row: &AccountRow) {
        let credit = row.entry.map(|entry| Credit {
            entry,
            amount_nano: row.amount_nano.unwrap_or(0),
            remaining_nano: row.remaining_nano.unwrap_or(0),
            is_bought: row.is_bought.unwrap_or(false),
            expires_at: row.expires_at,
            state: CreditState::Stored,
        });
        let account = match self.accounts.entry(row.account_id) {
            hash_map::Entry::Occupied(account) => account.into_mut(),
            hash_map::Entry::Vacant(place) => place.insert(Account {
                account_id: row.account_id,
                balance_nano: row.balance_nano,
                held_nano: row.held_nano,
                debt_limit_nano: row.debt_limit_nano,
                entry_count: row.entry_count,
                entry_count_read: row.entry_count,
                last_hash: row.last_hash.0,
                credits: CreditList::default(),
                is_changed: false,
            }),
        };
        if let Some(credit) = credit {
            account.credits.insert(credit);
        }
    }

    /// When the accounts were read: the time of everything this transaction records.
    pub(crate) const fn now(&self) -> OffsetDateTime {
        self.now
    }

    pub(crate) fn get(&self, account_id: Uuid) -> Result<&Account> {
        self.accounts
            .get(&account_id)
            .ok_or_else(|| Error::corrupt("an account that was not read"))
    }

    pub(crate) fn get_mut(&mut self, account_id: Uuid) -> Result<&mut Account> {
        self.accounts
            .get_mut(&account_id)
            .ok_or_else(|| Error::corrupt("an account that was not read"))
    }

    /// Appends an entry. On overflow nothing has changed.
    pub(crate) fn append(
        &mut self,
        account_id: Uuid,
        draft: Draft,
    ) -> Result<std::result::Result<&Entry, Overflow>> {
        let now = self.now;
        let account = self.get_mut(account_id)?;
        match account.append(draft, now) {
            Ok(posted) => {
                self.entries.push(posted);
                let last = self.entries.last();
                last.map(|posted| Ok(&posted.entry))
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
                let amount = Points::from_nano(credit.remaining_nano).negated()?;
                let at = credit.expires_at.unwrap_or(now);
                let draft = Draft::expiry(amount, at, credit.entry);
                self.entries.push(account.append(draft, now)?);
            }
        }
        Ok(())
    }

    /// The rows of everything that was appended and changed.
    pub(crate) fn rows(&self) -> Rows<'_> {
        let mut changed: Vec<&Account> = self
            .accounts
            .values()
            .filter(|account| account.is_changed)
            .collect();
        changed.sort_unstable_by_key(|account| account.account_id);
        let limits: &[&Account] = if self.is_locked { &changed } else { &[] };
        let credits = || {
            let accounts = changed.iter();
            accounts.flat_map(|account| {
                let credits = account.credits.iter();
                credits.map(move |credit| (account.account_id, credit))
            })
        };
        let in_state =
            |state| credits().filter(move |(_, credit): &(Uuid, &Credit)| credit.state == state);
        Rows {
            accounts: changed.iter().map(|account| account.change()).collect(),
            limits: limits.iter().map(|account| account.limits()).collect(),
            entries: self.entries.iter().map(PostedRow::row).collect(),
            new_credits: in_state(CreditState::New)
                .map(|(account_id, credit)| NewCredit {
                    account_id,
                    entry: credit.entry,
                    amount_nano: credit.amount_nano,
                    remaining_nano: credit.remaining_nano,
                    is_bought: credit.is_bought,
                    expires_at: credit.expires_at,
                })
                .collect(),
            credits: in_state(CreditState::Changed)
                .map(|(account_id, credit)| CreditChange {
                    account_id,
                    entry: credit.entry,
                    remaining_nano: credit.remaining_nano,
                })
                .collect(),
            ..Rows::default()
        }
    }

    /// Writes everything that was appended and changed, under the accounts' locks.
    pub(crate) async fn write(&self, tx: &mut PgConnection) -> Result<()> {
        store::write::write(tx, self.now, &self.rows()).await
    }

    /// The accounts as they are once all this is written.
    pub(crate) fn into_written(self) -> impl Iterator<Item = Account> {
        self.accounts.into_values().map(Account::written)
    }
}

impl Account {
    /// Accounts with their credits, as rows tell them.
    pub(crate) fn from_rows(rows: Vec<AccountRow>) -> impl Iterator<Item = Self> {
        let mut accounts = Accounts::none(OffsetDateTime::UNIX_EPOCH);
        for row in rows {
            accounts.add_row(&row);
        }
        accounts.accounts.into_values()
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

    fn append(
        &mut self,
        draft: Draft,
        now: OffsetDateTime,
    ) -> std::result::Result<PostedRow, Overflow> {
        let before = Points::from_nano(self.balance_nano);
        let after = before.plus(draft.amount)?;
        let number = self.entry_count.checked_add(1).ok_or(Overflow)?;
        self.move_credits(number, &draft, before)?;
        let entry = Entry {
            account_id: self.account_id,
            entry: number,
            recorded_at: now,
            balance_after_nano: after.nano(),
            draft,
        };
        let hash = entry.hash(&self.last_hash);
        self.balance_nano = after.nano();
        self.entry_count = number;
        self.last_hash = hash;
        self.is_changed = true;
        Ok(PostedRow { entry, hash })
    }

    fn move_credits(
        &mut self,
        number: i64,
        draft: &Draft,
        before: Points,
    ) -> std::result::Result<(), Overflow> {
        let amount = draft.amount;
        if amount.is_negative() {
            let taken = amount.negated()?.nano();
            match draft.content {
                Content::Expiry { credit } => self.credits.burn_entry(credit, taken),
                _ => self.credits.burn(taken),
            }
        } else if !amount.is_zero() {
            let (is_bought, expires_at) = match draft.content {
                Content::Credit(terms) => (terms.is_bought, terms.expires_at),
                _ => (false, None),
            };
            // Points that come in pay a debt first; what is left of them is the credit.
            let debt = before.nano().min(0).saturating_neg();
            self.credits.insert(Credit {
                entry: number,
                amount_nano: amount.nano(),
                remaining_nano: amount.nano().saturating_sub(debt).max(0),
                is_bought,
                expires_at,
                state: CreditState::New,
            });
        }
        Ok(())
    }

    fn change(&self) -> AccountChange<'_> {
        AccountChange {
            account_id: self.account_id,
            entry_count_read: self.entry_count_read,
            entry_count: self.entry_count,
            balance_nano: self.balance_nano,
            last_hash: self.last_hash.as_slice(),
        }
    }

    const fn limits(&self) -> AccountLimits {
        AccountLimits {
            account_id: self.account_id,
            held_nano: self.held_nano,
            debt_limit_nano: self.debt_limit_nano,
        }
    }

    fn written(mut self) -> Self {
        self.entry_count_read = self.entry_count;
        self.is_changed = false;
        self.credits.written();
        self
    }
}

impl PostedRow {
    fn row(&self) -> NewEntry<'_> {
        let entry = &self.entry;
        let message = entry.message();
        let origin = message.and_then(|message| message.origin.as_ref());
        // A first charge is all that its message costs: its state need not be told.
        let dues = message.filter(|message| message.before.is_some());
        let dues = dues.map(|message| message.dues);
        NewEntry {
            account_id: entry.account_id,
            entry: entry.entry,
            occurred_at: entry.draft.occurred_at,
            amount_nano: entry.amount_nano(),
            balance_after_nano: entry.balance_after_nano,
            kind: entry.draft.kind.as_str(),
            corrects_entry: entry.corrects_entry(),
            follows_entry: message.and_then(|message| Some(message.before?.last)),
            message: message.map(|message| message.message.0),
            api_key_id: origin.map(|origin| origin.api_key_id),
            namespace_id: origin.map(|origin| origin.namespace_id),
            entrance: origin.map(|origin| &*origin.entrance),
            message_id: origin.map(|origin| origin.message_id.as_str()),
            conversation_id: origin.and_then(|origin| origin.conversation_id.as_deref()),
            request_id: origin.and_then(|origin| origin.request_id.as_deref()),
            lines: message.map(|message| Json(message.lines.as_slice())),
            cost_nano: dues.map(|dues| dues.cost_nano),
            owed_nano: dues.map(|dues| dues.owed_nano),
            basis_nano: dues.map(|dues| dues.basis_nano),
            cap_nano: dues.map(|dues| dues.cap_nano),
            reason: entry.draft.reason.as_deref(),
            actor: entry.draft.actor.as_deref(),
            hash: self.hash.as_slice(),
        }
    }
}
