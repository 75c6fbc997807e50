use anyhow::Result;
use clap::Subcommand;
use ledger::Ledger;
use shared::ids::UserId;
use shared::money::Points;

use super::{Report, actor, in_words, parsed};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
    },
}

impl Command {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Report> {
        let Self::Add {
            user,
            points,
            reason,
        } = self;
        let balance = ledger
            .add_points(&user, points, &reason, &actor())
            .await
            .map_err(in_words)?;
        Ok(Report::ok(format!(
            "{user} now has {} points.",
            balance.balance
        )))
    }
}
