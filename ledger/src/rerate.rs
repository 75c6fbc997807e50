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
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Connection, Row};
use uuid::Uuid;

use crate::accounts::checked_reason;
use crate::audit::{self, Actor};
use crate::consumption::Line;
use crate::corrections::Standing;
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
    gain: Points,
    /// Of the models that another version prices than so far.
    costs: Vec<(String, ModelCost)>,
}

/// What all lines of one model in a charge cost since they were re-rated.
#[derive(Clone, Copy, Deserialize)]
struct ModelCost {
    price_version_id: i64,
    cost_nano: i64,
}

/// Charges with what stands of them now.
macro_rules! charges {
    ($which:literal) => {
        concat!(
            "select c.account_id, c.entry, a.user_id, c.lines,
                    (c.charge_nano - coalesce(r.gained, 0))::bigint as cost,
                    coalesce(r.refunded, 0)::bigint as refunded,
                    (c.charge_nano - coalesce(r.gained_before_refund, 0))::bigint as refunded_of,
                    (select jsonb_object_agg(model_key, jsonb_build_object(
                            'price_version_id', price_version_id, 'cost_nano', cost_nano))
                     from rerated where account_id = c.account_id and entry = c.entry) as rerated
             from consumption c join account a using (account_id)
             cross join lateral (
                 select sum(amount_nano) filter (where kind = 'rerate') as gained,
                        sum(amount_nano) filter (where kind = 'refund') as refunded,
                        sum(amount_nano) filter (where kind = 'rerate' and entry < last_refund)
                            as gained_before_refund
                 from (
                     select entry, kind, amount_nano,
                            max(entry) filter (where kind = 'refund') over () as last_refund
                     from journal_entry
                     where account_id = c.account_id and corrects_entry = c.entry
                 ) as corrections
             ) r
             where ",
            $which,
            "
                 -- In the place of what was replaced stands another charge.
                 and not exists (select from message m
                     where m.namespace_id = c.namespace_id and m.message_id = c.message_id
                         and c.part = any(m.replaces))
             order by c.account_id, c.entry"
        )
    };
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

    /// Every charge in the range that another version would price than so far.
    async fn repriced(
        &self,
        rerating: &Rerating,
        versions: &HashMap<String, PriceVersion>,
    ) -> Result<Vec<Repriced>> {
        let mut rows = sqlx::query(charges!("c.occurred_at >= $1 and c.occurred_at < $2"))
            .bind(rerating.from.moment())
            .bind(rerating.to.moment())
            .fetch(self.pool());
        let mut charges = Vec::new();
        while let Some(row) = rows.try_next().await? {
            charges.extend(repriced(&row, versions)?);
        }
        Ok(charges)
    }

    /// What applying a re-rating would do, per user; nothing is written.
    ///
    /// # Errors
    /// Field problems for `priceVersionIds` (unknown, or two of one model) and `to`.
    pub async fn preview_rerating(&self, rerating: &Rerating) -> Result<Vec<Difference>> {
        let versions = self.rerating_prices(rerating).await?;
        let mut users: BTreeMap<String, (u64, i128)> = BTreeMap::new();
        let charges = self.repriced(rerating, &versions).await?;
        for charge in charges.into_iter().filter(|it| !it.gain.is_zero()) {
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
            self.correct(&charge, rerating, &versions).await?;
            done += 1;
            if done % 100 == 0 || done == total {
                self.job_progress(job, done, total).await?;
            }
        }
        Ok(())
    }

    /// Enters one difference, worked out again under the account's lock: a run that was interrupted
    /// or runs beside another enters nothing twice.
    async fn correct(
        &self,
        charge: &Repriced,
        rerating: &Rerating,
        versions: &HashMap<String, PriceVersion>,
    ) -> Result<()> {
        let mut connection = self.pool().acquire().await?;
        let mut tx = connection.begin_with(locked::BEGIN).await?;
        let mut accounts = locked::lock(&mut tx, [charge.account_id])
            .await?
            .ok_or_else(|| Error::corrupt("a charge without an account"))?;
        let row = sqlx::query(charges!("c.account_id = $1 and c.entry = $2"))
            .bind(charge.account_id)
            .bind(charge.entry)
            .fetch_optional(&mut *tx)
            .await?;
        let charge = row.map(|row| repriced(&row, versions)).transpose()?;
        let Some(charge) = charge.flatten() else {
            return Ok(());
        };
        if !charge.gain.is_zero() {
            let draft = Draft {
                occurred_at: accounts.now(),
                kind: EntryKind::Rerate,
                amount: charge.gain,
                corrects_entry: Some(charge.entry),
                reason: Some(rerating.reason.trim().to_owned()),
                actor: Some("re-rating".into()),
                consumption: None,
                terms: CreditTerms::default(),
            };
            accounts.append(charge.account_id, draft)??;
        }
        accounts.write(&mut tx).await?;
        for (model_key, cost) in &charge.costs {
            sqlx::query(
                "insert into rerated (account_id, entry, model_key, price_version_id, cost_nano)
                 values ($1, $2, $3, $4, $5)
                 on conflict (account_id, entry, model_key) do update set
                     price_version_id = excluded.price_version_id, cost_nano = excluded.cost_nano",
            )
            .bind(charge.account_id)
            .bind(charge.entry)
            .bind(model_key)
            .bind(cost.price_version_id)
            .bind(cost.cost_nano)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// What the account gains when a message costs `new_cost`, however it came to cost what it does now.
/// What was given back, when it cost `refunded_of`, is not given back again by a lower price, and stays
/// given back under a higher one; what was given back whole costs nothing at any: another charge may
/// stand in its place.
fn gain(
    standing: Standing,
    refunded_of: Points,
    new_cost: Points,
) -> std::result::Result<Points, Overflow> {
    let cost = Points::from_nano(standing.cost_nano);
    let refunded = Points::from_nano(standing.refunded_nano);
    let due = if refunded.is_zero() {
        new_cost
    } else if refunded >= refunded_of {
        Points::ZERO
    } else if new_cost <= refunded_of {
        new_cost.min(refunded_of.minus(refunded)?)
    } else {
        new_cost.minus(refunded)?
    };
    cost.minus(refunded)?.minus(due)
}

/// A charge as the named versions price it; `None` when nothing about it changes.
fn repriced(row: &PgRow, versions: &HashMap<String, PriceVersion>) -> Result<Option<Repriced>> {
    let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
    let rerated: Option<Json<HashMap<String, ModelCost>>> = row.try_get("rerated")?;
    let mut models: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in lines {
        models.entry(line.model_key.clone()).or_default().push(line);
    }
    if !models.keys().any(|key| versions.contains_key(key)) {
        return Ok(None);
    }
    let mut new_cost = Points::ZERO;
    let mut costs = Vec::new();
    for (model_key, lines) in models {
        let before = rerated
            .as_ref()
            .and_then(|Json(rerated)| rerated.get(&model_key));
        let version = versions.get(&model_key);
        let mut cost = Points::ZERO;
        for line in &lines {
            cost = cost.plus(match version {
                Some(version) => quote(&version.rates, &line.tokens)?.points,
                None => Points::from_nano(line.charge_nano),
            })?;
        }
        if let Some(version) = version {
            let is_priced = |id| id == version.id;
            let is_so_far = before.map_or_else(
                || lines.iter().all(|line| is_priced(line.price_version_id)),
                |before| is_priced(before.price_version_id),
            );
            if !is_so_far {
                let cost = ModelCost {
                    price_version_id: version.id,
                    cost_nano: cost.nano(),
                };
                costs.push((model_key, cost));
            }
        } else if let Some(before) = before {
            cost = Points::from_nano(before.cost_nano);
        }
        new_cost = new_cost.plus(cost)?;
    }
    let standing = Standing {
        cost_nano: row.try_get("cost")?,
        refunded_nano: row.try_get("refunded")?,
    };
    let refunded_of = Points::from_nano(row.try_get("refunded_of")?);
    let gain = gain(standing, refunded_of, new_cost)?;
    if gain.is_zero() && costs.is_empty() {
        return Ok(None);
    }
    Ok(Some(Repriced {
        account_id: row.try_get("account_id")?,
        entry: row.try_get("entry")?,
        user_id: row.try_get("user_id")?,
        gain,
        costs,
    }))
}
