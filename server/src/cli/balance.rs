use std::fmt::Write;

use anyhow::Result;
use ledger::Ledger;
use serde::Serialize;
use shared::api::ExpiringPoints;
use shared::ids::UserId;
use shared::money::Points;

use crate::cli::argument::parsed;
use crate::cli::ending::{Ending, in_words};

#[derive(Debug, clap::Args)]
pub(super) struct BalanceArgs {
    /// The user, by the name Dify knows them.
    #[arg(long, value_parser = parsed::<UserId>)]
    user: UserId,
    /// Print {"userId","balance","held","available"}, in points, and "expiring", if something is.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BalanceJson {
    user_id: UserId,
    balance: Points,
    held: Points,
    available: Points,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expiring: Vec<ExpiringPoints>,
}

impl BalanceArgs {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        let balance = ledger.balance(&self.user).await.map_err(in_words)?;
        if self.json {
            return Ending::json(&BalanceJson {
                user_id: balance.user_id,
                balance: balance.balance,
                held: balance.held,
                available: balance.available,
                expiring: balance.expiring,
            });
        }
        let mut text = format!(
            "{}: {} points, of which {} held for calls under way, {} available",
            balance.user_id, balance.balance, balance.held, balance.available
        );
        for credit in &balance.expiring {
            write!(
                text,
                "\n  {} expire on {}",
                credit.points, credit.expires_at
            )?;
        }
        Ok(Ending::ok(text))
    }
}
