//! Accounts as their owners and administrators see them.

use serde::Serialize;
use shared::api::{AccountSummary, Balance, CreditItem, ExpiringPoints, Page, PostedEntry};
use shared::clock::Timestamp;
use shared::ids::{IdError, UserId};
use shared::money::Points;
use sqlx::Connection;

use crate::error::{Attempt, Error, OperationError, Result, refusal};
use crate::operations::idempotency::{self, KeyReused};
use crate::operations::ledger::Ledger;
use crate::posting::accounts;
use crate::records::account::balance;
use crate::records::actor::Actor;
use crate::records::entry::{CreditTerms, Decided, Draft};
use crate::records::hash::{Hash, Hasher, account_id};
use crate::records::idempotency_key::IdempotencyKey;
use crate::records::page;
use crate::store::{account, audit_log, credit};

/// Longest reason an administrator may give, in characters.
const REASON_CHARS_MAX: u16 = 500;

/// A reason that an auditor could not read: empty, too long, or with control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonFault(pub IdError);

refusal!(ReasonFault);

/// Why points were neither given nor taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantRefusal {
    Reason(ReasonFault),
    /// No points at all.
    NoPoints,
    /// Points that are taken cannot expire.
    TakenWithExpiry,
    ExpiredAlready,
    /// More than an account can hold.
    TooManyPoints,
    Key(KeyReused),
}

refusal!(GrantRefusal, Reason(ReasonFault), Key(KeyReused));

/// A debt limit below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegativeDebtLimit;

refusal!(NegativeDebtLimit);

/// Points to be given to a user.
#[derive(Debug, Clone)]
pub struct Grant {
    pub points: Points,
    pub reason: String,
    /// Bought points are used after granted ones.
    pub is_bought: bool,
    /// Good until then; `None` is for ever.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    fn fingerprint(&self, user: &UserId) -> Hash {
        let mut hash = Hasher::new("tollgate grant 1");
        hash.text(user.as_str());
        hash.int(self.points.nano());
        hash.text(self.reason.trim());
        hash.int(i64::from(self.is_bought));
        hash.int(self.expires_at.map_or(-1, Timestamp::unix_micros));
        hash.finish()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountChangeAnswer<'a> {
    balance: Points,
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<Points>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Ledger {
    /// What a user's account holds; a user without an account has nothing.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn balance(&self, user: &UserId) -> Result<Balance> {
        let rows = account::holdings(self.pool(), account_id(user)).await?;
        let amounts = rows.first().map(|row| row.amounts).unwrap_or_default();
        let expiring = rows.iter().filter_map(|row| {
            let points = Points::from_nano(row.remaining_nano?);
            Some(ExpiringPoints {
                points,
                points_nano: points.into(),
                expires_at: row.expires_at?.into(),
            })
        });
        let expiring = expiring.collect();
        balance(user, amounts, expiring)
    }

    /// Accounts by user id; `search` is the beginning of one.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn accounts(
        &self,
        search: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<AccountSummary>> {
        let pattern = search
            .unwrap_or_default()
            .trim()
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_")
            + "%";
        let after = cursor.unwrap_or_default();
        let rows = account::summaries(self.pool(), &pattern, after, i64::from(limit) + 1).await?;
        page::build(rows, limit, |row| {
            let summary = AccountSummary {
                user_id: row
                    .user_id
                    .parse()
                    .map_err(|_| Error::corrupt("a user id"))?,
                balance: Points::from_nano(row.balance_nano),
                held: Points::from_nano(row.held_nano),
                entries: row.entry_count,
                updated_at: row.updated_at.into(),
            };
            Ok((row.user_id, summary))
        })
    }

    /// Gives points to a user, or takes them when negative, and opens the account if need be.
    ///
    /// # Errors
    /// No points, too many for the account, or a reason that nobody can read.
    pub async fn add_points(
        &self,
        user: &UserId,
        points: Points,
        reason: &str,
        actor: &Actor,
    ) -> Attempt<Balance, GrantRefusal> {
        let grant = Grant {
            points,
            reason: reason.to_owned(),
            is_bought: false,
            expires_at: None,
        };
        self.grant(user, &grant, actor).await
    }

    /// As [`Ledger::add_points`], with terms: bought or granted, for ever or until a time.
    ///
    /// # Errors
    /// Also an expiry in the past, or one of points that are taken.
    pub async fn grant(
        &self,
        user: &UserId,
        grant: &Grant,
        actor: &Actor,
    ) -> Attempt<Balance, GrantRefusal> {
        self.grant_once(user, grant, None, actor).await?;
        Ok(self.balance(user).await?)
    }

    /// As [`Ledger::grant`]; the same key again gives the first answer again.
    ///
    /// # Errors
    /// Also [`KeyReused`].
    pub async fn grant_once(
        &self,
        user: &UserId,
        grant: &Grant,
        key: Option<&IdempotencyKey>,
        actor: &Actor,
    ) -> Attempt<PostedEntry, GrantRefusal> {
        let reason = checked_reason(&grant.reason)?;
        let points = grant.points;
        if points.is_zero() {
            return Err(GrantRefusal::NoPoints.into());
        }
        if points.is_negative() && grant.expires_at.is_some() {
            return Err(GrantRefusal::TakenWithExpiry.into());
        }
        let mut connection = self.pool().acquire().await?;
        accounts::open(&mut connection, &[user]).await?;
        let mut tx = connection.begin_with(accounts::BEGIN).await?;
        let first = idempotency::claim(&mut tx, key, &grant.fingerprint(user)).await;
        if let Some(answer) = first.map_err(OperationError::widen)? {
            return Ok(answer);
        }
        let mut accounts = accounts::lock_user(&mut tx, user).await?;
        let expires_at = grant.expires_at.map(Timestamp::moment);
        if expires_at.is_some_and(|at| at <= accounts.now()) {
            return Err(GrantRefusal::ExpiredAlready.into());
        }
        let before = Points::from_nano(accounts.get(account_id(user))?.balance_nano);
        let terms = CreditTerms {
            is_bought: grant.is_bought,
            expires_at,
        };
        let by = Decided {
            reason,
            actor: &actor.name,
        };
        let draft = Draft::points(points, accounts.now(), terms, by);
        let entry = accounts.append(account_id(user), draft)?;
        let posted = entry.map_err(|_| GrantRefusal::TooManyPoints)?.posted(user);
        accounts.write(&mut tx).await?;
        audit_log::record(
            &mut tx,
            actor,
            "points.add",
            user.as_str(),
            Some(&AccountChangeAnswer {
                balance: before,
                points: None,
                expires_at: None,
                reason: None,
            }),
            Some(&AccountChangeAnswer {
                balance: Points::from_nano(accounts.get(account_id(user))?.balance_nano),
                points: Some(points),
                expires_at: grant.expires_at,
                reason: Some(reason),
            }),
        )
        .await?;
        idempotency::keep(&mut tx, key, &posted).await?;
        tx.commit().await?;
        Ok(posted)
    }

    /// What is left of a user's points, by where they came from, in the order in which they are
    /// used.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn credits(&self, user: &UserId) -> Result<Vec<CreditItem>> {
        let rows = credit::left(self.pool(), account_id(user)).await?;
        let items = rows.into_iter().map(|row| {
            let points = Points::from_nano(row.amount_nano);
            let remaining = Points::from_nano(row.remaining_nano);
            CreditItem {
                entry: row.entry,
                points,
                points_nano: points.into(),
                remaining,
                remaining_nano: remaining.into(),
                is_bought: row.is_bought,
                expires_at: row.expires_at.map(Timestamp::from),
            }
        });
        Ok(items.collect())
    }

    /// How far below zero new holds of a user may go.
    ///
    /// # Errors
    /// The limit is negative.
    pub async fn set_debt_limit(
        &self,
        user: &UserId,
        limit: Points,
        actor: &Actor,
    ) -> Attempt<Balance, NegativeDebtLimit> {
        if limit.is_negative() {
            return Err(NegativeDebtLimit.into());
        }
        let mut connection = self.pool().acquire().await?;
        accounts::open(&mut connection, &[user]).await?;
        let mut tx = connection.begin_with(accounts::BEGIN).await?;
        let mut accounts = accounts::lock_user(&mut tx, user).await?;
        let account = accounts.get_mut(account_id(user))?;
        let before = Points::from_nano(account.debt_limit_nano);
        account.set_debt_limit(limit);
        accounts.write(&mut tx).await?;
        audit_log::record(
            &mut tx,
            actor,
            "account.debt_limit",
            user.as_str(),
            Some(&before),
            Some(&limit),
        )
        .await?;
        tx.commit().await?;
        // Nobody waits for a second connection while keeping one: enough of them would wait for ever.
        drop(connection);
        Ok(self.balance(user).await?)
    }
}

/// A reason is never empty: it is what an auditor reads.
pub(crate) fn checked_reason(reason: &str) -> std::result::Result<&str, ReasonFault> {
    let reason = reason.trim();
    let fault = if reason.is_empty() {
        IdError::Empty
    } else if reason.chars().count() > usize::from(REASON_CHARS_MAX) {
        IdError::TooLong(REASON_CHARS_MAX)
    } else if reason.chars().any(char::is_control) {
        IdError::ControlCharacter
    } else {
        return Ok(reason);
    };
    Err(ReasonFault(fault))
}
