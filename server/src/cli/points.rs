use anyhow::Result;
use clap::Subcommand;
use ledger::{Grant, Ledger};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;

use crate::cli::argument::{moment, parsed};
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;

#[derive(Debug, Subcommand)]
pub(super) enum PointsCommand {
    /// Add points to a user's account, or take some with a negative number.
    Add {
        /// The user, by the name Dify knows them.
        #[arg(long, value_parser = parsed::<UserId>)]
        user: UserId,
        /// How many, with up to nine decimals.
        #[arg(long, allow_hyphen_values = true, value_parser = parsed::<Points>)]
        points: Points,
        /// Why, as the user's history and the audit log show it.
        #[arg(long)]
        reason: String,
        /// Until when they are good: a time such as 2026-12-31T18:00:00+08:00, or a date, whose
        /// beginning in UTC counts. For ever when not given.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        expires: Option<Timestamp>,
        /// The user has bought them: they are used after those that were granted.
        #[arg(long)]
        bought: bool,
        /// Print the journal entry that was made.
        #[arg(long)]
        json: bool,
    },
    /// Give back what a message cost, or a part of it.
    Refund {
        /// The user, by the name Dify knows them.
        #[arg(long, value_parser = parsed::<UserId>)]
        user: UserId,
        #[command(flatten)]
        charge: Charge,
        /// How many; all that is left of the charge when not given.
        #[arg(long, value_parser = parsed::<Points>)]
        points: Option<Points>,
        /// Why, as the user's history and the audit log show it.
        #[arg(long)]
        reason: String,
        /// Print the journal entry that was made.
        #[arg(long)]
        json: bool,
    },
    /// Set how far below zero new calls of a user may go. What was really used is always charged.
    DebtLimit {
        /// The user, by the name Dify knows them.
        #[arg(long, value_parser = parsed::<UserId>)]
        user: UserId,
        /// In points; 0 stops new calls as soon as the points are used up.
        #[arg(long, value_name = "POINTS", allow_hyphen_values = true, value_parser = parsed::<Points>)]
        limit: Points,
        /// Print the balance.
        #[arg(long)]
        json: bool,
    },
}

/// Which charge is meant.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Charge {
    /// The charge's number in the user's history.
    #[arg(long, value_name = "NUMBER")]
    entry: Option<i64>,
    /// The charge's consumption, as the webhook's answer and the history name it (cons_…).
    #[arg(long, value_name = "ID")]
    consumption: Option<String>,
}

impl PointsCommand {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        match self {
            Self::Add {
                user,
                points,
                reason,
                expires,
                bought,
                json,
            } => {
                let grant = Grant {
                    points,
                    reason,
                    is_bought: bought,
                    expires_at: expires,
                };
                add(ledger, &user, &grant, json).await
            }
            Self::Refund {
                user,
                charge,
                points,
                reason,
                json,
            } => {
                let entry = charge.entry(ledger, &user).await?;
                refund(ledger, &user, entry, points, &reason, json).await
            }
            Self::DebtLimit { user, limit, json } => {
                let balance = ledger
                    .set_debt_limit(&user, limit, &actor())
                    .await
                    .map_err(in_words)?;
                if json {
                    return Ending::json(&balance);
                }
                Ok(Ending::ok(format!(
                    "New calls of {user} may go down to -{} points; the balance is {} points.",
                    balance.debt_limit, balance.balance
                )))
            }
        }
    }
}

impl Charge {
    /// Its number in the user's history.
    async fn entry(self, ledger: &Ledger, user: &UserId) -> Result<i64> {
        match (self.entry, self.consumption) {
            (Some(entry), _) => Ok(entry),
            (None, id) => ledger
                .charge_entry(user, &id.unwrap_or_default())
                .await
                .map_err(in_words),
        }
    }
}

async fn add(ledger: &Ledger, user: &UserId, grant: &Grant, json: bool) -> Result<Ending> {
    let posted = ledger.grant_once(user, grant, None, &actor()).await;
    let posted = posted.map_err(in_words)?;
    if json {
        return Ending::json(&posted);
    }
    let points = grant.points;
    let until = grant
        .expires_at
        .map(|expires| format!(", of which {points} are good until {expires}"))
        .unwrap_or_default();
    let balance = posted.balance;
    Ok(Ending::ok(format!(
        "{user} now has {balance} points{until}."
    )))
}

async fn refund(
    ledger: &Ledger,
    user: &UserId,
    entry: i64,
    points: Option<Points>,
    reason: &str,
    json: bool,
) -> Result<Ending> {
    let posted = ledger
        .refund_once(user, entry, points, reason, None, &actor())
        .await
        .map_err(in_words)?;
    if json {
        return Ending::json(&posted);
    }
    Ok(Ending::ok(format!(
        "{} points of entry {entry} were given back; {user} now has {} points.",
        posted.points, posted.balance
    )))
}
