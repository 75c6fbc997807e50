//! Corrections: entries that name the entry they put right. Nothing is ever changed.

use serde::Serialize;
use shared::api::{Balance, EntryKind};
use shared::ids::UserId;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use crate::accounts::checked_reason;
use crate::audit::{self, Actor};
use crate::error::Result;
use crate::journal::{CreditTerms, Draft};
use crate::{Ledger, chain, locked};

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
        let reason = checked_reason(reason)?;
        let account_id = chain::account_id(user);
        let mut connection = self.pool().acquire().await?;
        let mut tx = connection.begin().await?;
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
        accounts.append(account_id, draft)??;
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
        tx.commit().await?;
        // Nobody waits for a second connection while keeping one: enough of them would wait for ever.
        drop(connection);
        self.balance(user).await
    }
}
