//! Holds: points promised to a call before it runs. A hold ends by being settled with what the call
//! really used, by being released, or by running out.

use std::collections::HashMap;

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
    /// The request's key, and what is equal for two requests that ask for the same hold.
    pub once: Option<(&'a IdempotencyKey, Hash)>,
    /// Somebody outside of this process learns its id. A hold that nobody learns of need not
    /// outlive Postgres' machine: what the call uses is charged without it just the same, so its
    /// commit does not wait for the disk.
    pub is_told: bool,
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

/// Reads holds, of accounts that are locked.
pub(crate) async fn find(
    tx: &mut PgConnection,
    holds: &[(Uuid, Uuid)],
) -> Result<HashMap<Uuid, HeldPoints>> {
    if holds.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "select h.hold_id, h.status, h.amount_nano, h.namespace_id, h.message_id
         from unnest($1::uuid[], $2::uuid[]) as k (account_id, hold_id)
         join hold h on h.account_id = k.account_id and h.hold_id = k.hold_id",
    )
    .bind(
        holds
            .iter()
            .map(|(account, _)| *account)
            .collect::<Vec<_>>(),
    )
    .bind(holds.iter().map(|(_, hold)| *hold).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let held = rows.iter().map(|row| {
        let held = HeldPoints {
            status: status(row.try_get("status")?)?,
            amount_nano: row.try_get("amount_nano")?,
            namespace_id: row.try_get("namespace_id")?,
            message_id: row.try_get("message_id")?,
        };
        Ok((row.try_get("hold_id")?, held))
    });
    held.collect()
}

/// A hold and the message that settles it.
pub(crate) struct Settled<'a> {
    pub account_id: Uuid,
    pub hold_id: Uuid,
    pub namespace_id: i64,
    pub message_id: &'a str,
}

/// Marks holds as settled; the caller frees their points.
pub(crate) async fn settle(tx: &mut PgConnection, settled: &[Settled<'_>]) -> Result<()> {
    if settled.is_empty() {
        return Ok(());
    }
    let column = settled.iter();
    sqlx::query(
        "update hold h set status = 'settled', closed_at = coalesce(closed_at, clock_timestamp()),
             namespace_id = t.namespace_id, message_id = t.message_id
         from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[])
             as t (account_id, hold_id, namespace_id, message_id)
         where h.account_id = t.account_id and h.hold_id = t.hold_id",
    )
    .bind(column.clone().map(|it| it.account_id).collect::<Vec<_>>())
    .bind(column.clone().map(|it| it.hold_id).collect::<Vec<_>>())
    .bind(column.clone().map(|it| it.namespace_id).collect::<Vec<_>>())
    .bind(column.map(|it| it.message_id).collect::<Vec<_>>())
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
        if new.once.is_none()
            && let Some(hold) = self.hold_at_once(new).await?
        {
            return complete(Some(hold));
        }
        let mut connection = self.pool().acquire().await?;
        locked::open(&mut connection, &[new.user]).await?;
        let mut tx = connection.begin_with(locked::BEGIN).await?;
        let key = new.once.map(|(key, _)| key);
        if let Some((key, fingerprint)) = &new.once
            && let Some(first) = idempotency::claim(&mut tx, Some(key), fingerprint).await?
        {
            return Ok(first);
        }
        let mut accounts = locked::lock_user(&mut tx, new.user).await?;
        let now = accounts.now();
        let account_id = chain::account_id(new.user);
        if !accounts.get_mut(account_id)?.hold(new.points) {
            // Somebody else took the points between the look and the hold. Credits that ran out
            // meanwhile are entered all the same.
            accounts.write(&mut tx).await?;
            idempotency::leave(&mut tx, key).await?;
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
        idempotency::keep(&mut tx, key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// The whole hold in one statement, where the account is open, its points suffice, and nothing
    /// has to be entered first. Otherwise nothing has happened.
    async fn hold_at_once(&self, new: &NewHold<'_>) -> Result<Option<Hold>> {
        // An update that waits for a lock looks at the row again once it has it.
        let row = sqlx::query(
            "with promised as (
                 update account set held_nano = held_nano + $2, updated_at = clock_timestamp()
                 where account_id = $1
                     and balance_nano::numeric - held_nano + debt_limit_nano >= $2
                     and held_nano <= 9223372036854775807 - $2
                     and not exists (select from credit c where c.account_id = $1
                         and c.remaining_nano > 0 and c.expires_at <= clock_timestamp())
                 returning updated_at
             )
             insert into hold (account_id, hold_id, amount_nano, model_name, created_at, expires_at)
             select $1, $3, $2, $4, updated_at, updated_at + make_interval(secs => $5)
             from promised
             returning *, set_config('synchronous_commit',
                 case when $6 then current_setting('synchronous_commit') else 'off' end, true)",
        )
        .bind(chain::account_id(new.user))
        .bind(new.points.nano())
        .bind(Uuid::now_v7())
        .bind(new.model_name.map(ModelName::as_str))
        .bind(f64::from(new.seconds))
        .bind(new.is_told)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(hold).transpose()
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
        let held = find(&mut tx, &[(account_id, id)]).await?;
        let held = held.get(&id).ok_or(Problem::NotFound)?;
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
