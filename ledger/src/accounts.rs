//! Accounts as their owners and administrators see them.

use serde::Serialize;
use shared::api::{AccountSummary, Balance, EntryKind, Page};
use shared::ids::UserId;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};
use sqlx::Row;
use time::OffsetDateTime;

use crate::audit::{self, Actor};
use crate::error::{Error, Result};
use crate::journal::{self, Draft};
use crate::{Ledger, chain, page};

/// Longest reason an administrator may give, in characters.
const REASON_CHARS_MAX: u16 = 500;

/// # Errors
/// A held amount larger than the ledger can subtract: stored data is broken.
pub(crate) fn balance(user: &UserId, balance_nano: i64, held_nano: i64) -> Result<Balance> {
    let (balance, held) = (
        Points::from_nano(balance_nano),
        Points::from_nano(held_nano),
    );
    let available = balance.minus(held)?;
    Ok(Balance {
        user_id: user.clone(),
        balance,
        balance_nano: balance.into(),
        held,
        held_nano: held.into(),
        available,
        available_nano: available.into(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    balance: Points,
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<Points>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Ledger {
    /// What a user's account holds; a user without an account has nothing.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn balance(&self, user: &UserId) -> Result<Balance> {
        let row = sqlx::query("select balance_nano, held_nano from account where account_id = $1")
            .bind(chain::account_id(user))
            .fetch_optional(self.pool())
            .await?;
        match row {
            Some(row) => balance(
                user,
                row.try_get("balance_nano")?,
                row.try_get("held_nano")?,
            ),
            None => balance(user, 0, 0),
        }
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
        let rows = sqlx::query(
            "select user_id, balance_nano, held_nano, entry_count, updated_at from account
             where user_id like $1 and user_id ~>~ $2 order by user_id using ~<~ limit $3",
        )
        .bind(pattern)
        .bind(cursor.unwrap_or_default())
        .bind(i64::from(limit) + 1)
        .fetch_all(self.pool())
        .await?;
        page::build(&rows, limit, |row| {
            let user_id: String = row.try_get("user_id")?;
            let summary = AccountSummary {
                user_id: user_id.parse().map_err(|_| Error::corrupt("a user id"))?,
                balance: Points::from_nano(row.try_get("balance_nano")?),
                held: Points::from_nano(row.try_get("held_nano")?),
                entries: row.try_get("entry_count")?,
                updated_at: row.try_get::<OffsetDateTime, _>("updated_at")?.into(),
            };
            Ok((user_id, summary))
        })
    }

    /// Gives points to a user, or takes them when negative, and opens the account if need be.
    ///
    /// # Errors
    /// Field problems for `points` (0, or too much for the account) and `reason`.
    pub async fn add_points(
        &self,
        user: &UserId,
        points: Points,
        reason: &str,
        actor: &Actor,
    ) -> Result<Balance> {
        let reason = reason.trim();
        if points.is_zero() {
            return Err(Problem::field("points", FieldFault::NotPositive).into());
        }
        if reason.is_empty() {
            return Err(Problem::field("reason", FieldFault::Empty).into());
        }
        if reason.chars().count() > usize::from(REASON_CHARS_MAX) {
            return Err(Problem::field(
                "reason",
                FieldFault::TooLong {
                    max: REASON_CHARS_MAX,
                },
            )
            .into());
        }
        if reason.chars().any(char::is_control) {
            return Err(Problem::field("reason", FieldFault::ControlCharacter).into());
        }
        let mut connection = self.pool().acquire().await?;
        journal::open_accounts(&mut connection, &[user]).await?;
        let mut tx = sqlx::Acquire::begin(&mut *connection).await?;
        let mut accounts = journal::lock_accounts(&mut tx, &[user])
            .await?
            .ok_or_else(|| Error::corrupt("an account that was just opened is missing"))?;
        let account = accounts
            .get_mut(&chain::account_id(user))
            .ok_or_else(|| Error::corrupt("an account that was just locked is missing"))?;
        let before = Points::from_nano(account.balance_nano);
        let now: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(&mut *tx)
            .await?;
        let link = account.append(Draft {
            recorded_at: now,
            occurred_at: now,
            kind: if points.is_negative() {
                EntryKind::Adjustment
            } else {
                EntryKind::Grant
            },
            amount: points,
            reason: Some(reason.to_owned()),
            actor: Some(actor.name.clone()),
            consumption: None,
        })?;
        let after = balance(user, account.balance_nano, account.held_nano)?;
        journal::insert(&mut tx, &[&link]).await?;
        journal::update_accounts(&mut tx, accounts.values(), now).await?;
        audit::record(
            &mut tx,
            actor,
            "points.add",
            user.as_str(),
            Some(&Change {
                balance: before,
                points: None,
                reason: None,
            }),
            Some(&Change {
                balance: after.balance,
                points: Some(points),
                reason: Some(reason),
            }),
        )
        .await?;
        tx.commit().await?;
        Ok(after)
    }
}
