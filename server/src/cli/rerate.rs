use std::fmt::Write;

use anyhow::{Result, anyhow};
use ledger::{JobSummary, Ledger, RerateEffect, Rerating};
use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::Points;

use crate::cli::argument::{moment, parsed};
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;

#[derive(Debug, clap::Args)]
pub(super) struct RerateArgs {
    /// From when on: messages that happened at this time or later. A date means its beginning, UTC.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Timestamp,
    /// Until when: messages that happened before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Timestamp,
    /// The price to use, as MODEL@VERSION, or as MODEL for its newest; once for each model. Messages
    /// of other models stay as they are.
    #[arg(long = "price", value_name = "MODEL[@VERSION]", required = true, value_parser = parse_price)]
    prices: Vec<Price>,
    /// Why, as histories and the audit log show it.
    #[arg(long, required_if_eq("apply", "true"))]
    reason: Option<String>,
    /// Enter the differences. Without it, they are only shown.
    #[arg(long)]
    apply: bool,
    /// Print {"differences":[{"userId","messages","points","pointsNano"}],"job"}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone)]
struct Price {
    model: ModelName,
    version: Option<i32>,
}

/// A model's name may hold an @ itself: only a number after the last one is a version.
fn parse_price(text: &str) -> Result<Price, String> {
    let (model, version) = match text.rsplit_once('@') {
        Some((model, version)) if version.parse::<i32>().is_ok() => (model, version.parse().ok()),
        _ => (text, None),
    };
    let model = parsed(model)?;
    Ok(Price { model, version })
}

#[derive(Serialize)]
struct RerateJson {
    differences: Vec<RerateEffect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobSummary>,
}

impl RerateArgs {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        let book = ledger.price_book().await.map_err(in_words)?;
        let mut price_version_ids = Vec::with_capacity(self.prices.len());
        for price in &self.prices {
            let known = book.version(&price.model, price.version);
            let known = known.ok_or_else(|| match price.version {
                Some(version) => anyhow!("{} has no version {version} of a price", price.model),
                None => anyhow!("{} has no price", price.model),
            })?;
            if price_version_ids.contains(&known.id) {
                return Err(anyhow!("{} is named twice", price.model));
            }
            price_version_ids.push(known.id);
        }
        let rerating = Rerating {
            from: self.from,
            to: self.to,
            price_version_ids,
            reason: self.reason.unwrap_or_default(),
        };
        let differences = ledger.preview_rerating(&rerating).await.map_err(in_words)?;
        let job = if self.apply {
            let id = ledger.rerate(rerating, &actor()).await.map_err(in_words)?;
            Some(ledger.job(id).await.map_err(in_words)?)
        } else {
            None
        };
        let is_ok = job.as_ref().is_none_or(|job| job.error.is_none());
        let text = if self.json {
            serde_json::to_string(&RerateJson { differences, job })?
        } else {
            told(&differences, job.as_ref())?
        };
        Ok(Ending { text, is_ok })
    }
}

fn told(differences: &[RerateEffect], job: Option<&JobSummary>) -> Result<String> {
    let total = Points::sum(differences.iter().map(|user| user.points))?;
    let mut text = format!("{} users, {total} points in all.", differences.len());
    for user in differences {
        write!(
            text,
            "\n  {}: {} points for {} messages",
            user.user_id, user.points, user.messages
        )?;
    }
    match job {
        None => text.push_str("\nNothing was entered; --apply enters it."),
        Some(job) => match &job.error {
            None => write!(text, "\nEntered: {} messages, job {}.", job.done, job.id)?,
            Some(error) => write!(text, "\nNot all was entered, job {}: {error}", job.id)?,
        },
    }
    Ok(text)
}
