//! Corrections: entries that name the entry they put right. Nothing is ever changed.

use serde::Serialize;
use shared::api::{Balance, EntryKind, PostedEntry};
use shared::ids::UserId;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::accounts::checked_reason;
use crate::audit::{self, Actor};
use crate::chain::Hasher;
use crate::error::Result;
use crate::journal::{CreditTerms, Draft};
use crate::{IdempotencyKey, Ledger, chain, consumption, idempotency, locked};

/// What stands of a charge: its own amount and all corrections so far. Its account is locked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// What the message costs: the charge and its re-ratings.
    pub cost_nano: i64,
    /// What was given back of it.
    pub refunded_nano: i64,
}

pub(crate) async fn standing(
    tx: &mut PgConnection,
    account_id: Uuid,
    entry: i64,
) -> Result<Option<Standing>> {
    let row = sqlx::query(
        "select sum(-amount_nano) filter (where kind in ('charge', 'rerate'))::bigint as cost,
                coalesce(sum(amount_nano) filter (where kind = 'refund'), 0)::bigint as refunded,
                bool_or(kind = 'charge') as is_charge
         from journal_entry
         where account_id = $1 and (entry = $2 or corrects_entry = $2)",
    )
    .bind(account_id)
    .bind(entry)
    .fetch_one(tx)
    .await?;
    if row.try_get::<Option<bool>, _>("is_charge")? != Some(true) {
        return Ok(None);
    }
    Ok(Some(Standing {
        cost_nano: row.try_get("cost")?,
        refunded_nano: row.try_get("refunded")?,
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refunded<'a> {
    entry: i64,
    points: Points,
    reason: &'a str,
}

impl Ledger {
    /// Gives points of a charge back: all that is left of it, or a part.
    ///
    /// # Errors
    /// `NotFound` when the user has no such charge; field problems for `points` (more than the
    /// charge still stands for, or nothing) and `reason`.
    pub async fn refund(
        &self,
        user: &UserId,
        entry: i64,
        points: Option<Points>,
        reason: &str,
        actor: &Actor,
    ) -> Result<Balance> {
        self.refund_once(user, entry, points, reason, None, actor)
            .await?;
        self.balance(user).await
    }

    /// As [`Ledger::refund`]; the same key again gives the first answer again.
    ///
    /// # Errors
    /// Also `KeyReused`.
    pub async fn refund_once(
        &self,
        user: &UserId,
        entry: i64,
        points: Option<Points>,
        reason: &str,
        key: Option<&IdempotencyKey>,
        actor: &Actor,
    ) -> Result<PostedEntry> {
        let reason = checked_reason(reason)?;
        let account_id = chain::account_id(user);
        let mut fingerprint = Hasher::new("tollgate refund 1");
        fingerprint.text(user.as_str());
        fingerprint.int(entry);
        // Nothing is not an amount that can be refunded, so it stands for "all that is left".
        fingerprint.int(points.map_or(0, Points::nano));
        fingerprint.text(reason);
        let mut tx = self.pool().begin_with(locked::BEGIN).await?;
        if let Some(answer) = idempotency::claim(&mut tx, key, &fingerprint.finish()).await? {
            return Ok(answer);
        }
        let mut accounts = locked::lock(&mut tx, [account_id])
            .await?
            .ok_or(Problem::NotFound)?;
        let standing = standing(&mut tx, account_id, entry)
            .await?
            .ok_or(Problem::NotFound)?;
        let left = Points::from_nano(standing.cost_nano)
            .minus(Points::from_nano(standing.refunded_nano))?;
        let points = points.unwrap_or(left);
        if points <= Points::ZERO {
            return Err(Problem::field("points", FieldFault::NotPositive).into());
        }
        if points > left {
            return Err(Problem::field("points", FieldFault::TooLarge).into());
        }
        let draft = Draft {
            occurred_at: accounts.now(),
            kind: EntryKind::Refund,
            amount: points,
            corrects_entry: Some(entry),
            reason: Some(reason.to_owned()),
            actor: Some(actor.name.clone()),
            consumption: None,
            terms: CreditTerms::default(),
        };
        let posted = accounts.append(account_id, draft)??.posted(user);
        accounts.write(&mut tx).await?;
        audit::record(
            &mut tx,
            actor,
            "charge.refund",
            user.as_str(),
            audit::NOTHING,
            Some(&Refunded {
                entry,
                points,
                reason,
            }),
        )
        .await?;
        idempotency::keep(&mut tx, key, &posted).await?;
        tx.commit().await?;
        Ok(posted)
    }

    /// What is left to be given back of some of a user's charges, by their entries; entries that
    /// are none are left out.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn refundable(&self, user: &UserId, entries: &[i64]) -> Result<Vec<(i64, Points)>> {
        sqlx::query(
            "select coalesce(corrects_entry, entry) as charge, -sum(amount_nano)::bigint as left_nano
             from journal_entry
             where account_id = $1 and kind in ('charge', 'rerate', 'refund')
                 and (entry = any($2) or corrects_entry = any($2))
             group by charge having bool_or(kind = 'charge')",
        )
        .bind(chain::account_id(user))
        .bind(entries)
        .fetch_all(self.pool())
        .await?
        .iter()
        .map(|row| {
            let left = Points::from_nano(row.try_get("left_nano")?);
            Ok((row.try_get("charge")?, left.max(Points::ZERO)))
        })
        .collect()
    }

    /// The entry of a charge, by its consumption's public id (`cons_…`).
    ///
    /// # Errors
    /// `NotFound` when the user has no such charge.
    pub async fn charge_entry(&self, user: &UserId, consumption_id: &str) -> Result<i64> {
        let id = consumption::parse_id(consumption_id)?;
        // The id says when it was made, which names the partition; an index would cost every charge.
        let made_at = id
            .get_timestamp()
            .and_then(|made| i64::try_from(made.to_unix().0).ok())
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .ok_or(Problem::NotFound)?;
        let entry = sqlx::query_scalar(
            "select entry from consumption where account_id = $1 and consumption_id = $2
                 and recorded_at between $3 - interval '1 day' and $3 + interval '1 day'",
        )
        .bind(chain::account_id(user))
        .bind(id)
        .bind(made_at)
        .fetch_optional(self.pool())
        .await?;
        Ok(entry.ok_or(Problem::NotFound)?)
    }
}
