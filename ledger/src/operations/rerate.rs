//! Re-rating: what would a time range have cost under other price versions, and the entries that
//! make it so. Doing it again finds no difference.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::{Nano, Points};
use shared::price::PriceVersion;
use sqlx::Connection;
use uuid::Uuid;

use crate::charging::change::DecidedChange;
use crate::charging::message::Message;
use crate::charging::record::Record;
use crate::error::{Attempt, Error, Result, is_lost_race, refusal};
use crate::operations::account::{ReasonFault, checked_reason};
use crate::operations::ledger::Ledger;
use crate::posting::accounts;
use crate::records::actor::Actor;
use crate::records::entry::Decided;
use crate::records::hash::MessageId;
use crate::records::job::Task;
use crate::records::rerating::Rerating;
use crate::store::message::{ChargedMessageRow, charged_between};
use crate::store::write::{self, Rows};
use crate::store::{audit_log, job, price_version};

/// Messages looked at together.
const MESSAGES_MAX: i64 = 500;
/// How often a job says how far it is, in messages.
const PROGRESS_STEP: u64 = 100;

/// Why nothing is re-rated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RerateRefusal {
    Reason(ReasonFault),
    /// A version is unknown, two are of one model, or there is none.
    Versions,
    /// The range ends where it begins, or before.
    EmptyRange {
        from: Timestamp,
    },
}

refusal!(RerateRefusal, Reason(ReasonFault));

/// What a re-rating means to one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RerateEffect {
    pub user_id: UserId,
    pub messages: u64,
    /// What the balance gains; negative when the messages become dearer.
    pub points: Points,
    pub points_nano: Nano,
}

/// A message that other versions price otherwise than so far.
struct Repriced {
    account_id: Uuid,
    user_id: String,
    message: MessageId,
    gain: Points,
}

type Versions = HashMap<String, PriceVersion>;

impl Ledger {
    /// The versions a re-rating names, by model.
    async fn rerating_prices(&self, rerating: &Rerating) -> Attempt<Versions, RerateRefusal> {
        let versions = price_version::of_ids(self.pool(), &rerating.price_version_ids).await?;
        let by_model: Versions = versions
            .into_iter()
            .map(|version| (version.model_name.key(), version))
            .collect();
        if by_model.is_empty() || by_model.len() != rerating.price_version_ids.len() {
            return Err(RerateRefusal::Versions.into());
        }
        if rerating.from >= rerating.to {
            let from = rerating.from;
            return Err(RerateRefusal::EmptyRange { from }.into());
        }
        Ok(by_model)
    }

    /// Every message in the range that another version would price than so far.
    async fn repriced(&self, rerating: &Rerating, versions: &Versions) -> Result<Vec<Repriced>> {
        let range = (rerating.from.moment(), rerating.to.moment());
        let mut after = (Uuid::nil(), 0);
        let mut seen = HashSet::new();
        let mut repriced = Vec::new();
        loop {
            let rows = charged_between(self.pool(), range, after, MESSAGES_MAX).await?;
            let Some(last) = rows.last() else {
                return Ok(repriced);
            };
            after = (last.account_id, last.entry);
            let ids: Vec<MessageId> = rows.iter().map(|row| MessageId(row.message)).collect();
            let mut connection = self.pool().acquire().await?;
            let record = Record::read(&mut connection, &ids).await?;
            for row in rows {
                repriced.extend(repriced_row(row, &record, versions, &mut seen)?);
            }
        }
    }

    /// What applying a re-rating would do, per user; nothing is written.
    ///
    /// # Errors
    /// A version is unknown, two are of one model, or the range is empty.
    pub async fn preview_rerating(
        &self,
        rerating: &Rerating,
    ) -> Attempt<Vec<RerateEffect>, RerateRefusal> {
        let versions = self.rerating_prices(rerating).await?;
        let mut users: BTreeMap<String, (u64, i128)> = BTreeMap::new();
        let repriced = self.repriced(rerating, &versions).await?;
        for message in repriced.into_iter().filter(|it| !it.gain.is_zero()) {
            let (messages, gain) = users.entry(message.user_id).or_default();
            *messages += 1;
            *gain += i128::from(message.gain.nano());
        }
        users
            .into_iter()
            .map(|(user_id, (messages, gain))| {
                let points = Points::try_from(gain)?;
                Ok(RerateEffect {
                    user_id: user_id.parse().map_err(|_| Error::corrupt("a user id"))?,
                    messages,
                    points,
                    points_nano: points.into(),
                })
            })
            .collect()
    }

    /// Enters the differences as a job, and waits for it. Returns the job.
    ///
    /// # Errors
    /// As [`Ledger::start_rerating`].
    pub async fn rerate(&self, rerating: Rerating, actor: &Actor) -> Attempt<Uuid, RerateRefusal> {
        let job = self.start_rerating(rerating, actor).await?;
        self.run_job(job).await?;
        Ok(job)
    }

    /// Leaves it to [`Ledger::run_jobs`], of whichever process, to enter the differences. Returns
    /// the job.
    ///
    /// # Errors
    /// As [`Ledger::preview_rerating`], and a reason that nobody can read.
    pub async fn start_rerating(
        &self,
        rerating: Rerating,
        actor: &Actor,
    ) -> Attempt<Uuid, RerateRefusal> {
        checked_reason(&rerating.reason)?;
        self.rerating_prices(&rerating).await?;
        let mut tx = self.pool().begin().await?;
        audit_log::record(
            &mut tx,
            actor,
            "charge.rerate",
            &rerating.reason,
            audit_log::NOTHING,
            Some(&rerating),
        )
        .await?;
        let job = job::insert(&mut tx, &Task::Rerate(rerating), actor).await?;
        tx.commit().await?;
        Ok(job)
    }

    pub(crate) async fn apply_rerating(
        &self,
        job: Uuid,
        rerating: &Rerating,
    ) -> Attempt<(), RerateRefusal> {
        let versions = self.rerating_prices(rerating).await?;
        let repriced = self.repriced(rerating, &versions).await?;
        let total = u64::try_from(repriced.len()).unwrap_or(u64::MAX);
        let mut done = 0;
        for message in repriced {
            while !self.rerate_message(&message, rerating, &versions).await? {}
            done += 1;
            if done % PROGRESS_STEP == 0 || done == total {
                self.job_progress(job, done, total).await?;
            }
        }
        Ok(())
    }

    /// Enters one difference, worked out again under the account's lock: a run that was interrupted
    /// or runs beside another enters nothing twice. `false` when it lost a race and is to be tried again.
    async fn rerate_message(
        &self,
        repriced: &Repriced,
        rerating: &Rerating,
        versions: &Versions,
    ) -> Result<bool> {
        let mut connection = self.pool().acquire().await?;
        let mut tx = connection.begin_with(accounts::BEGIN).await?;
        let mut accounts = accounts::lock(&mut tx, [repriced.account_id])
            .await?
            .ok_or_else(|| Error::corrupt("a charge without an account"))?;
        let record = Record::read(&mut tx, &[repriced.message]).await?;
        let found = record.find(&[repriced.message]);
        let message = found.first().and_then(|id| record.get(*id));
        let Some(message) = message.filter(|message| message.entries.is_some()) else {
            return Ok(true);
        };
        let Some(change) = DecidedChange::rerate(message, versions)? else {
            return Ok(true);
        };
        let by = Decided {
            reason: rerating.reason.trim(),
            actor: "re-rating",
        };
        let (_, event) = change.enter(message, repriced.account_id, &mut accounts, by)?;
        let rows = Rows {
            events: vec![event],
            ..accounts.rows()
        };
        match write::write(&mut tx, accounts.now(), &rows).await {
            Err(Error::Database(error)) if is_lost_race(&error) => return Ok(false),
            written => written?,
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// A message as the named versions price it, each once; `None` when nothing about it changes.
fn repriced_row(
    row: ChargedMessageRow,
    record: &Record,
    versions: &Versions,
    seen: &mut HashSet<MessageId>,
) -> Result<Option<Repriced>> {
    let found = record.find(&[MessageId(row.message)]);
    let message: Option<&Message> = found.first().and_then(|id| record.get(*id));
    let Some(message) = message.filter(|message| seen.insert(message.id)) else {
        return Ok(None);
    };
    let Some(change) = DecidedChange::rerate(message, versions)? else {
        return Ok(None);
    };
    Ok(Some(Repriced {
        account_id: row.account_id,
        user_id: row.user_id,
        message: message.id,
        gain: change.gain(message)?,
    }))
}
