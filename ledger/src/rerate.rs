//! Re-rating: what would a time range have cost under other price versions, and the entries that
//! make it so. A correction names its charge, so that doing it again finds no difference.

use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use shared::api::EntryKind;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::{Nano, Overflow, Points};
use shared::price::PriceVersion;
use shared::problem::{FieldFault, Problem};
use shared::quote::quote;
use sqlx::types::Json;
use sqlx::{Connection, Row};
use uuid::Uuid;

use crate::accounts::checked_reason;
use crate::audit::{self, Actor};
use crate::consumption::Line;
use crate::corrections::{Standing, standing};
use crate::error::{Error, Result};
use crate::jobs::{self, Task};
use crate::journal::{CreditTerms, Draft};
use crate::{Ledger, locked, prices};

/// What to price again, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rerating {
    /// When the messages happened: inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// Each version prices the lines of its model; other models stay as they are.
    pub price_version_ids: Vec<i64>,
    pub reason: String,
}

/// What a re-rating means to one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub user_id: UserId,
    pub messages: u64,
    /// What the balance gains; negative when the messages become dearer.
    pub points: Points,
    pub points_nano: Nano,
}

/// One charge and what it should have cost.
struct Repriced {
    account_id: Uuid,
    entry: i64,
    user_id: String,
    new_cost_nano: i64,
    gain: Points,
}

impl Ledger {
    /// The versions a re-rating names, by model.
    async fn rerating_prices(&self, rerating: &Rerating) -> Result<HashMap<String, PriceVersion>> {
        let versions = sqlx::query("select * from price_version where price_version_id = any($1)")
            .bind(&rerating.price_version_ids)
            .fetch_all(self.pool())
            .await?
            .iter()
            .map(prices::version)
            .collect::<Result<Vec<_>>>()?;
        let by_model: HashMap<_, _> = versions
            .into_iter()
            .map(|version| (version.model_name.key(), version))
            .collect();
        if by_model.is_empty() || by_model.len() != rerating.price_version_ids.len() {
            return Err(Problem::field("priceVersionIds", FieldFault::NotPriced).into());
        }
        if rerating.from >= rerating.to {
            let than = rerating.from.to_string();
            return Err(Problem::field("to", FieldFault::NotLater { than }).into());
        }
        Ok(by_model)
    }

    /// Every charge in the range whose cost would change, against what stands of it now.
    async fn repriced(
        &self,
        rerating: &Rerating,
        versions: &HashMap<String, PriceVersion>,
    ) -> Result<Vec<Repriced>> {
        let mut rows = sqlx::query(
            "select c.account_id, c.entry, a.user_id, c.lines,
                    (c.charge_nano - coalesce(r.gained, 0))::bigint as cost,
                    coalesce(r.refunded, 0)::bigint as refunded
             from consumption c join account a using (account_id)
             cross join lateral (
                 select sum(amount_nano) filter (where kind = 'rerate') as gained,
                        sum(amount_nano) filter (where kind = 'refund') as refunded
                 from journal_entry
                 where account_id = c.account_id and corrects_entry = c.entry
             ) r
             where c.occurred_at >= $1 and c.occurred_at < $2
                 -- In the place of what was replaced stands another charge.
                 and not exists (select from message m
                     where m.namespace_id = c.namespace_id and m.message_id = c.message_id
                         and c.part = any(m.replaces))
             order by c.account_id, c.entry",
        )
        .bind(rerating.from.moment())
        .bind(rerating.to.moment())
        .fetch(self.pool());
        let mut repriced = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
            let new_cost_nano = new_cost(&lines, versions)?;
            let standing = Standing {
                cost_nano: row.try_get("cost")?,
                refunded_nano: row.try_get("refunded")?,
            };
            let gain = standing.gain(new_cost_nano)?;
            let touches = lines
                .iter()
                .any(|line| versions.contains_key(&line.model_key));
            if touches && !gain.is_zero() {
                repriced.push(Repriced {
                    account_id: row.try_get("account_id")?,
                    entry: row.try_get("entry")?,
                    user_id: row.try_get("user_id")?,
                    new_cost_nano,
                    gain,
                });
            }
        }
        Ok(repriced)
    }

    /// What applying a re-rating would do, per user; nothing is written.
    ///
    /// # Errors
    /// Field problems for `priceVersionIds` (unknown, or two of one model) and `to`.
    pub async fn preview_rerating(&self, rerating: &Rerating) -> Result<Vec<Difference>> {
        let versions = self.rerating_prices(rerating).await?;
        let mut users: BTreeMap<String, (u64, i128)> = BTreeMap::new();
        for charge in self.repriced(rerating, &versions).await? {
            let (messages, gain) = users.entry(charge.user_id).or_default();
            *messages += 1;
            *gain += i128::from(charge.gain.nano());
        }
        users
            .into_iter()
            .map(|(user_id, (messages, gain))| {
                let points = Points::try_from(gain)?;
                Ok(Difference {
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
    pub async fn rerate(&self, rerating: Rerating, actor: &Actor) -> Result<Uuid> {
        let job = self.start_rerating(rerating, actor).await?;
        self.run_job(job).await?;
        Ok(job)
    }

    /// Leaves it to [`Ledger::run_jobs`], of whichever process, to enter the differences. Returns
    /// the job.
    ///
    /// # Errors
    /// As [`Ledger::preview_rerating`], and a field problem for `reason`.
    pub async fn start_rerating(&self, rerating: Rerating, actor: &Actor) -> Result<Uuid> {
        checked_reason(&rerating.reason)?;
        self.rerating_prices(&rerating).await?;
        let mut tx = self.pool().begin().await?;
        audit::record(
            &mut tx,
            actor,
            "charge.rerate",
            &rerating.reason,
            audit::NOTHING,
            Some(&rerating),
        )
        .await?;
        let job = jobs::enqueue(&mut tx, &Task::Rerate(rerating), actor).await?;
        tx.commit().await?;
        Ok(job)
    }

    pub(crate) async fn apply_rerating(&self, job: Uuid, rerating: &Rerating) -> Result<()> {
        let versions = self.rerating_prices(rerating).await?;
        let repriced = self.repriced(rerating, &versions).await?;
        let total = u64::try_from(repriced.len()).unwrap_or(u64::MAX);
        let mut done = 0;
        for charge in repriced {
            self.correct(&charge, rerating).await?;
            done += 1;
            if done % 100 == 0 || done == total {
                self.job_progress(job, done, total).await?;
            }
        }
        Ok(())
    }

    /// Enters one difference, worked out again under the account's lock: a run that was interrupted
    /// or runs beside another enters nothing twice.
    async fn correct(&self, charge: &Repriced, rerating: &Rerating) -> Result<()> {
        let mut connection = self.pool().acquire().await?;
        let mut tx = connection.begin_with(locked::BEGIN).await?;
        let mut accounts = locked::lock(&mut tx, [charge.account_id])
            .await?
            .ok_or_else(|| Error::corrupt("a charge without an account"))?;
        let standing = standing(&mut tx, charge.account_id, charge.entry)
            .await?
            .ok_or_else(|| Error::corrupt("a charge that is not in the journal"))?;
        let gain = standing.gain(charge.new_cost_nano)?;
        if gain.is_zero() {
            return Ok(());
        }
        let draft = Draft {
            occurred_at: accounts.now(),
            kind: EntryKind::Rerate,
            amount: gain,
            corrects_entry: Some(charge.entry),
            reason: Some(rerating.reason.trim().to_owned()),
            actor: Some("re-rating".into()),
            consumption: None,
            terms: CreditTerms::default(),
        };
        accounts.append(charge.account_id, draft)??;
        accounts.write(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Standing {
    /// What the account gains when the message costs `new_cost_nano`. What was given back already
    /// is not given back again by a lower price; a higher one takes the difference, but nothing for
    /// a charge that was given back whole: another one may stand in its place.
    fn gain(self, new_cost_nano: i64) -> std::result::Result<Points, Overflow> {
        let cheaper_by =
            Points::from_nano(self.cost_nano).minus(Points::from_nano(new_cost_nano))?;
        let is_void = self.refunded_nano > 0 && self.refunded_nano >= self.cost_nano;
        if cheaper_by.is_negative() && !is_void {
            return Ok(cheaper_by);
        }
        let gain = cheaper_by.minus(Points::from_nano(self.refunded_nano))?;
        Ok(gain.max(Points::ZERO))
    }
}

fn new_cost(lines: &[Line], versions: &HashMap<String, PriceVersion>) -> Result<i64> {
    let mut cost = Points::ZERO;
    for line in lines {
        let points = match versions.get(&line.model_key) {
            Some(version) => quote(&version.rates, &line.tokens)?.points,
            None => Points::from_nano(line.charge_nano),
        };
        cost = cost.plus(points)?;
    }
    Ok(cost.nano())
}
