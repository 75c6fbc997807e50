//! Holds: points promised to a call before it runs. A hold ends by being settled with what the call
//! really used, by being released, or by running out.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::api::{
    CheckBalance, HOLD_SECONDS_DEFAULT, HOLD_SECONDS_MAX, Hold, HoldStatus, WebhookAnswer,
};
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use shared::problem::{FieldFault, Problem};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::{Hash, Hasher};
use crate::error::{Error, Result};
use crate::{Delivery, IdempotencyKey, Ledger, chain, idempotency, locked};

/// Accounts whose holds are expired in one transaction at most.
const EXPIRE_ACCOUNTS_MAX: i64 = 500;
/// Open holds told at most: the calls of one user that run at the same time are few.
const OPEN_HOLDS_SHOWN_MAX: i64 = 100;

/// A hold as its transaction sees it.
#[derive(Debug, Clone)]
pub(crate) struct HeldPoints {
    pub status: HoldStatus,
    pub amount_nano: i64,
    pub namespace_id: Option<i64>,
    pub message_id: Option<String>,
}

fn status(text: &str) -> Result<HoldStatus> {
    HoldStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("hold status {text}")))
}

/// The public form of a hold's id.
pub(crate) fn public_id(hold_id: Uuid) -> String {
    format!("hold_{}", hold_id.simple())
}

/// Reads the public form; what is none names no hold.
pub(crate) fn parse_id(text: &str) -> Result<Uuid> {
    text.strip_prefix("hold_")
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Problem::NotFound.into())
}

/// A hold to be made.
pub(crate) struct NewHold<'a> {
    pub user: &'a UserId,
    /// Absent for an app whose model is not known beforehand.
    pub model_name: Option<&'a ModelName>,
    pub points: Points,
    pub seconds: u32,
    pub key: Option<&'a IdempotencyKey>,
    /// Equal for two requests that ask for the same hold.
    pub fingerprint: Hash,
}

/// Equal for two checks that ask for the same hold.
pub(crate) fn fingerprint(user: &UserId, check: &CheckBalance) -> Hash {
    let mut hash = Hasher::new("tollgate hold 1");
    hash.text(user.as_str());
    hash.text(&check.model_name.key());
    for tokens in [check.estimated_input_tokens, check.estimated_output_tokens] {
        hash.count(tokens.unwrap_or(u64::MAX));
    }
    hash.count(u64::from(
        check.hold_seconds.unwrap_or(HOLD_SECONDS_DEFAULT),
    ));
    hash.finish()
}

/// Reads a hold of an account that is locked.
pub(crate) async fn find(
    tx: &mut PgConnection,
    account_id: Uuid,
    hold_id: Uuid,
) -> Result<Option<HeldPoints>> {
    sqlx::query(
        "select status, amount_nano, namespace_id, message_id from hold
         where account_id = $1 and hold_id = $2",
    )
    .bind(account_id)
    .bind(hold_id)
    .fetch_optional(tx)
    .await?
    .map(|row| {
        Ok(HeldPoints {
            status: status(row.try_get("status")?)?,
            amount_nano: row.try_get("amount_nano")?,
            namespace_id: row.try_get("namespace_id")?,
            message_id: row.try_get("message_id")?,
        })
    })
    .transpose()
}

/// Marks a hold as settled by a message; the caller frees its points.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    account_id: Uuid,
    hold_id: Uuid,
    namespace_id: i64,
    message_id: &str,
) -> Result<()> {
    sqlx::query(
        "update hold set status = 'settled', closed_at = coalesce(closed_at, clock_timestamp()),
             namespace_id = $3, message_id = $4
         where account_id = $1 and hold_id = $2",
    )
    .bind(account_id)
    .bind(hold_id)
    .bind(namespace_id)
    .bind(message_id)
    .execute(tx)
    .await?;
    Ok(())
}

fn hold(row: &PgRow) -> Result<Hold> {
    let points = Points::from_nano(row.try_get("amount_nano")?);
    Ok(Hold {
        hold_id: public_id(row.try_get("hold_id")?),
        status: status(row.try_get("status")?)?,
        model_name: row
            .try_get::<Option<&str>, _>("model_name")?
            .map(str::parse)
            .transpose()
            .map_err(|_| Error::corrupt("a hold's model name"))?,
        points,
        points_nano: points.into(),
        created_at: row.try_get::<OffsetDateTime, _>("created_at")?.into(),
        expires_at: row.try_get::<OffsetDateTime, _>("expires_at")?.into(),
    })
}

impl Ledger {
    /// Promises points to a call that was found affordable, if the account still has them, and
    /// completes the answer with the hold, or with how it is refused. A refusal is not kept under the
    /// key: asked again, it may have become affordable.
    ///
    /// # Errors
    /// A field problem for `holdSeconds`; `KeyReused`.
    pub(crate) async fn hold<Answer: Serialize + DeserializeOwned + Sync>(
        &self,
        new: &NewHold<'_>,
        complete: impl FnOnce(Option<Hold>) -> Result<Answer>,
    ) -> Result<Answer> {
        if !(1..=HOLD_SECONDS_MAX).contains(&new.seconds) {
            return Err(Problem::field(
                "holdSeconds",
                FieldFault::OutOfRange {
                    min: 1,
                    max: HOLD_SECONDS_MAX,
                },
            )
            .into());
        }
        let mut connection = self.pool().acquire().await?;
        locked::open(&mut connection, &[new.user]).await?;
        let mut tx = connection.begin_with(locked::BEGIN).await?;
        if let Some(first) = idempotency::claim(&mut tx, new.key, &new.fingerprint).await? {
            return Ok(first);
        }
        let mut accounts = locked::lock_user(&mut tx, new.user).await?;
        let now = accounts.now();
        let account_id = chain::account_id(new.user);
        if !accounts.get_mut(account_id)?.hold(new.points) {
            // Somebody else took the points between the look and the hold. Credits that ran out
            // meanwhile are entered all the same.
            accounts.write(&mut tx).await?;
            idempotency::leave(&mut tx, new.key).await?;
            tx.commit().await?;
            return complete(None);
        }
        let row = sqlx::query(
            "insert into hold (account_id, hold_id, amount_nano, model_name, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $5 + make_interval(secs => $6)) returning *",
        )
        .bind(account_id)
        .bind(Uuid::now_v7())
        .bind(new.points.nano())
        .bind(new.model_name.map(ModelName::as_str))
        .bind(now)
        .bind(f64::from(new.seconds))
        .fetch_one(&mut *tx)
        .await?;
        let answer = complete(Some(hold(&row)?))?;
        accounts.write(&mut tx).await?;
        idempotency::keep(&mut tx, new.key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// One hold of a user.
    ///
    /// # Errors
    /// `NotFound` when the user has no such hold.
    pub async fn find_hold(&self, user: &UserId, hold_id: &str) -> Result<Hold> {
        let row = sqlx::query("select * from hold where account_id = $1 and hold_id = $2")
            .bind(chain::account_id(user))
            .bind(parse_id(hold_id)?)
            .fetch_optional(self.pool())
            .await?
            .ok_or(Problem::NotFound)?;
        hold(&row)
    }

    /// A user's open holds, the first to run out first, 100 at most.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn open_holds(&self, user: &UserId) -> Result<Vec<Hold>> {
        sqlx::query(
            "select * from hold where account_id = $1 and status = 'open' order by expires_at limit $2",
        )
        .bind(chain::account_id(user))
        .bind(OPEN_HOLDS_SHOWN_MAX)
        .fetch_all(self.pool())
        .await?
        .iter()
        .map(hold)
        .collect()
    }

    /// Frees a hold's points. Releasing twice, or after the hold ran out, changes nothing.
    ///
    /// # Errors
    /// `NotFound` when the user has no such hold; `Outdated` when it was settled.
    pub async fn release_hold(&self, user: &UserId, hold_id: &str) -> Result<Hold> {
        let id = parse_id(hold_id)?;
        let account_id = chain::account_id(user);
        let mut tx = self.pool().begin_with(locked::BEGIN).await?;
        let mut accounts = locked::lock(&mut tx, [account_id])
            .await?
            .ok_or(Problem::NotFound)?;
        let held = find(&mut tx, account_id, id)
            .await?
            .ok_or(Problem::NotFound)?;
        match held.status {
            HoldStatus::Settled => return Err(Problem::Outdated.into()),
            HoldStatus::Released | HoldStatus::Expired => {}
            HoldStatus::Open => {
                accounts.get_mut(account_id)?.unhold(held.amount_nano)?;
                sqlx::query(
                    "update hold set status = 'released', closed_at = $3
                     where account_id = $1 and hold_id = $2",
                )
                .bind(account_id)
                .bind(id)
                .bind(accounts.now())
                .execute(&mut *tx)
                .await?;
            }
        }
        accounts.write(&mut tx).await?;
        tx.commit().await?;
        self.find_hold(user, hold_id).await
    }

    /// Charges what a held call really used and frees the hold, in one transaction. Settling twice
    /// gives the first answer again; a settlement after the hold ran out still charges.
    ///
    /// # Errors
    /// `NotFound` when the user has no such hold; otherwise as [`Ledger::deliver`].
    pub async fn settle_hold(
        &self,
        hold_id: &str,
        mut delivery: Delivery,
    ) -> Result<WebhookAnswer> {
        let hold = self.find_hold(&delivery.message.user_id, hold_id).await?;
        delivery.hold_id = Some(parse_id(&hold.hold_id)?);
        self.deliver(delivery).await
    }

    /// Frees the points of holds that ran out. Returns how many did.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn expire_holds(&self) -> Result<u64> {
        let mut expired = 0;
        loop {
            let due: Vec<Uuid> = sqlx::query_scalar(
                "select distinct account_id from hold
                 where status = 'open' and expires_at <= now() limit $1",
            )
            .bind(EXPIRE_ACCOUNTS_MAX)
            .fetch_all(self.pool())
            .await?;
            if due.is_empty() {
                return Ok(expired);
            }
            let mut tx = self.pool().begin_with(locked::BEGIN).await?;
            let mut accounts = locked::lock(&mut tx, due.iter().copied())
                .await?
                .ok_or_else(|| Error::corrupt("a hold without an account"))?;
            let rows = sqlx::query(
                "update hold set status = 'expired', closed_at = $2
                 where account_id = any($1) and status = 'open' and expires_at <= $2
                 returning account_id, amount_nano",
            )
            .bind(&due)
            .bind(accounts.now())
            .fetch_all(&mut *tx)
            .await?;
            for row in &rows {
                accounts
                    .get_mut(row.try_get("account_id")?)?
                    .unhold(row.try_get("amount_nano")?)?;
                expired += 1;
            }
            accounts.write(&mut tx).await?;
            tx.commit().await?;
        }
    }

    /// Enters the expiry of credits that are past their time. Returns how many accounts had some.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn expire_credits(&self) -> Result<u64> {
        let mut accounts_done = 0;
        loop {
            let due: Vec<Uuid> = sqlx::query_scalar(
                "select distinct account_id from credit
                 where not is_spent and expires_at <= now() limit $1",
            )
            .bind(EXPIRE_ACCOUNTS_MAX)
            .fetch_all(self.pool())
            .await?;
            if due.is_empty() {
                return Ok(accounts_done);
            }
            let mut tx = self.pool().begin_with(locked::BEGIN).await?;
            // Locking an account expires its credits.
            let accounts = locked::lock(&mut tx, due.iter().copied())
                .await?
                .ok_or_else(|| Error::corrupt("a credit without an account"))?;
            accounts.write(&mut tx).await?;
            tx.commit().await?;
            accounts_done += u64::try_from(due.len()).unwrap_or(u64::MAX);
        }
    }
}
