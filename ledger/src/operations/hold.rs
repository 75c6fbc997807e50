//! Holds: points promised to a call before it runs. A hold ends by being settled with what the call
//! really used, by being released, or by running out.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::api::{
    CheckBalance, HOLD_SECONDS_DEFAULT, HOLD_SECONDS_MAX, Hold, HoldStatus, WebhookAnswer,
};
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use sqlx::Connection;
use uuid::Uuid;

use crate::charging::delivery::Delivery;
use crate::charging::queue::DeliveryRefusal;
use crate::error::{Attempt, Error, OperationError, Result, refusal};
use crate::operations::idempotency::{self, KeyReused};
use crate::operations::ledger::Ledger;
use crate::posting::accounts;
use crate::records::hash::{Hash, Hasher, account_id};
use crate::records::hold_id;
use crate::records::idempotency_key::IdempotencyKey;
use crate::store;
use crate::store::hold::{HoldRow, NewHoldRow};

/// Accounts whose holds are expired in one transaction at most.
const EXPIRE_ACCOUNTS_MAX: i64 = 500;
/// Open holds told at most: the calls of one user that run at the same time are few.
const OPEN_HOLDS_SHOWN_MAX: i64 = 100;

/// Why no hold was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldRefusal {
    /// It would last too short or too long.
    SecondsOutOfRange {
        min: u32,
        max: u32,
    },
    Key(KeyReused),
}

refusal!(HoldRefusal, Key(KeyReused));

/// The user has no such hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownHold;

refusal!(UnknownHold);

/// Why a hold was not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseRefusal {
    Hold(UnknownHold),
    /// Its call was charged.
    Settled,
}

refusal!(ReleaseRefusal, Hold(UnknownHold));

/// Why a hold was not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleRefusal {
    Hold(UnknownHold),
    Delivery(DeliveryRefusal),
}

refusal!(SettleRefusal, Hold(UnknownHold), Delivery(DeliveryRefusal));

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

impl NewHold<'_> {
    fn row(&self) -> NewHoldRow<'_> {
        NewHoldRow {
            account_id: account_id(self.user),
            hold_id: Uuid::now_v7(),
            amount_nano: self.points.nano(),
            model_name: self.model_name.map(ModelName::as_str),
            seconds: self.seconds,
        }
    }
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

impl HoldRow {
    pub(crate) fn status(&self) -> Result<HoldStatus> {
        let mut all = HoldStatus::ALL.into_iter();
        all.find(|status| status.as_str() == self.status)
            .ok_or_else(|| Error::corrupt(format!("hold status {}", self.status)))
    }

    fn hold(&self) -> Result<Hold> {
        let points = Points::from_nano(self.amount_nano);
        let model_name = self.model_name.as_deref().map(str::parse).transpose();
        Ok(Hold {
            hold_id: hold_id::public(self.hold_id),
            status: self.status()?,
            model_name: model_name.map_err(|_| Error::corrupt("a hold's model name"))?,
            points,
            points_nano: points.into(),
            created_at: self.created_at.into(),
            expires_at: self.expires_at.into(),
        })
    }
}

fn parse(hold_id: &str) -> std::result::Result<Uuid, UnknownHold> {
    hold_id::parse(hold_id).ok_or(UnknownHold)
}

impl Ledger {
    /// Promises points to a call that was found affordable, if the account still has them, and
    /// completes the answer with the hold, or with how it is refused. A refusal is not kept under the
    /// key: asked again, it may have become affordable.
    ///
    /// # Errors
    /// It would last less than a second or too long; [`KeyReused`].
    pub(crate) async fn hold<Answer: Serialize + DeserializeOwned + Sync>(
        &self,
        new: &NewHold<'_>,
        complete: impl FnOnce(Option<Hold>) -> Answer,
    ) -> Attempt<Answer, HoldRefusal> {
        if !(1..=HOLD_SECONDS_MAX).contains(&new.seconds) {
            let (min, max) = (1, HOLD_SECONDS_MAX);
            return Err(HoldRefusal::SecondsOutOfRange { min, max }.into());
        }
        let row = new.row();
        if new.once.is_none()
            && let Some(row) = store::hold::insert_at_once(self.pool(), &row, new.is_told).await?
        {
            return Ok(complete(Some(row.hold()?)));
        }
        let mut connection = self.pool().acquire().await?;
        accounts::open(&mut connection, &[new.user]).await?;
        let mut tx = connection.begin_with(accounts::BEGIN).await?;
        let key = new.once.map(|(key, _)| key);
        if let Some((key, fingerprint)) = &new.once {
            let first = idempotency::claim(&mut tx, Some(key), fingerprint).await;
            if let Some(first) = first.map_err(OperationError::widen)? {
                return Ok(first);
            }
        }
        let mut accounts = accounts::lock_user(&mut tx, new.user).await?;
        if !accounts.get_mut(row.account_id)?.hold(new.points) {
            // Somebody else took the points between the look and the hold. Credits that ran out
            // meanwhile are entered all the same.
            accounts.write(&mut tx).await?;
            idempotency::leave(&mut tx, key).await?;
            tx.commit().await?;
            return Ok(complete(None));
        }
        let made = store::hold::insert(&mut tx, &row, accounts.now()).await?;
        let answer = complete(Some(made.hold()?));
        accounts.write(&mut tx).await?;
        idempotency::keep(&mut tx, key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// One hold of a user.
    ///
    /// # Errors
    /// [`UnknownHold`].
    pub async fn find_hold(&self, user: &UserId, hold_id: &str) -> Attempt<Hold, UnknownHold> {
        let found = store::hold::one(self.pool(), account_id(user), parse(hold_id)?).await?;
        Ok(found.ok_or(UnknownHold)?.hold()?)
    }

    /// A user's open holds, the first to run out first, 100 at most.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn open_holds(&self, user: &UserId) -> Result<Vec<Hold>> {
        let rows = store::hold::open(self.pool(), account_id(user), OPEN_HOLDS_SHOWN_MAX).await?;
        rows.iter().map(HoldRow::hold).collect()
    }

    /// Frees a hold's points. Releasing twice, or after the hold ran out, changes nothing.
    ///
    /// # Errors
    /// The user has no such hold, or it was settled.
    pub async fn release_hold(
        &self,
        user: &UserId,
        hold_id: &str,
    ) -> Attempt<Hold, ReleaseRefusal> {
        let id = parse(hold_id)?;
        let account_id = account_id(user);
        let mut tx = self.pool().begin_with(accounts::BEGIN).await?;
        let mut accounts = accounts::lock(&mut tx, [account_id])
            .await?
            .ok_or(UnknownHold)?;
        let held = store::hold::one(&mut *tx, account_id, id)
            .await?
            .ok_or(UnknownHold)?;
        match held.status()? {
            HoldStatus::Settled => return Err(ReleaseRefusal::Settled.into()),
            HoldStatus::Released | HoldStatus::Expired => {}
            HoldStatus::Open => {
                accounts.get_mut(account_id)?.unhold(held.amount_nano)?;
                store::hold::release(&mut tx, account_id, id, accounts.now()).await?;
            }
        }
        accounts.write(&mut tx).await?;
        tx.commit().await?;
        let released = self.find_hold(user, hold_id).await;
        released.map_err(OperationError::widen)
    }

    /// Charges what a held call really used and frees the hold, in one transaction. Settling twice
    /// gives the first answer again; a settlement after the hold ran out still charges.
    ///
    /// # Errors
    /// The user has no such hold; otherwise as [`Ledger::deliver`].
    pub async fn settle_hold(
        &self,
        hold_id: &str,
        mut delivery: Delivery,
    ) -> Attempt<WebhookAnswer, SettleRefusal> {
        let hold = self.find_hold(&delivery.message.user_id, hold_id).await;
        let hold = hold.map_err(OperationError::widen)?;
        delivery.hold_id = Some(parse(&hold.hold_id)?);
        self.deliver(delivery).await.map_err(OperationError::widen)
    }

    /// Frees the points of holds that ran out. Returns how many did.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn expire_holds(&self) -> Result<u64> {
        let mut expired = 0;
        loop {
            let due = store::hold::due_accounts(self.pool(), EXPIRE_ACCOUNTS_MAX).await?;
            if due.is_empty() {
                return Ok(expired);
            }
            let mut tx = self.pool().begin_with(accounts::BEGIN).await?;
            let mut accounts = accounts::lock(&mut tx, due.iter().copied())
                .await?
                .ok_or_else(|| Error::corrupt("a hold without an account"))?;
            for (account_id, nano) in store::hold::expire(&mut tx, &due, accounts.now()).await? {
                accounts.get_mut(account_id)?.unhold(nano)?;
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
            let due = store::credit::due_accounts(self.pool(), EXPIRE_ACCOUNTS_MAX).await?;
            if due.is_empty() {
                return Ok(accounts_done);
            }
            let mut tx = self.pool().begin_with(accounts::BEGIN).await?;
            // Locking an account expires its credits.
            let accounts = accounts::lock(&mut tx, due.iter().copied())
                .await?
                .ok_or_else(|| Error::corrupt("a credit without an account"))?;
            accounts.write(&mut tx).await?;
            tx.commit().await?;
            accounts_done += u64::try_from(due.len()).unwrap_or(u64::MAX);
        }
    }
}
