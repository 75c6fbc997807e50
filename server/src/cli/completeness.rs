use std::fmt::Write;

use anyhow::Result;
use dify_client::Dify;
use ledger::Ledger;
use serde::Serialize;
use shared::api::{Completeness, ReviewedMessage, arrived_share};
use shared::clock::Timestamp;
use shared::ids::{ModelName, UserId};
use time::OffsetDateTime;

use crate::cli::argument::{moment, parsed};
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;
use crate::completeness;

/// Looked back without `--since`.
const DAYS_BACK: i64 = 7;

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The gateway source whose app is asked.
    #[arg(long, value_name = "NAME")]
    source: String,
    /// From which day on (UTC); a week without it. Younger than ten minutes is left out.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Also ask for the conversations of this user. Dify lists them user by user; those that the
    /// source has reported are asked for anyway.
    #[arg(long = "user", value_name = "NAME", value_parser = parsed::<UserId>)]
    users: Vec<UserId>,
    /// Charge what is missing. Look at the list first.
    #[arg(long)]
    charge: bool,
    /// Charge only this message; may be repeated.
    #[arg(long = "message", value_name = "ID", requires = "charge")]
    messages: Vec<String>,
    /// The model to charge; without it, the one that the source is set to.
    #[arg(long, value_name = "NAME", requires = "charge", value_parser = parsed::<ModelName>)]
    model: Option<ModelName>,
    /// Print {"source","begunAt","checkedAt","error","days":[{"day","served","arrived"}],"missing":[…],"charged"}.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct CompletenessJson {
    #[serde(flatten)]
    completeness: Completeness,
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<Vec<ReviewedMessage>>,
}

impl Check {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        let source = ledger.gateway_source(Some(&self.source)).await;
        let source = source.map_err(in_words)?;
        let since = self.since.unwrap_or_else(|| {
            Timestamp::new(OffsetDateTime::now_utc() - time::Duration::days(DAYS_BACK))
        });
        let client = Dify::new(dify_client::connections()?);
        completeness::check(ledger, &client, &source, since, &self.users).await?;
        let completeness = ledger.completeness(&source).await.map_err(in_words)?;
        let charged = if self.charge {
            let only = (!self.messages.is_empty()).then_some(self.messages.as_slice());
            let actor = actor();
            let charged = ledger.charge_missing(&source, only, self.model, &actor);
            Some(app::reviewed(charged.await.map_err(in_words)?))
        } else {
            None
        };
        let is_ok = charged
            .iter()
            .flatten()
            .all(|reviewed| reviewed.problem.is_none());
        let report = CompletenessJson {
            completeness,
            charged,
        };
        let text = match self.json {
            true => serde_json::to_string(&report)?,
            false => told(&report)?,
        };
        Ok(Ending { text, is_ok })
    }
}

fn told(report: &CompletenessJson) -> Result<String> {
    let Completeness { days, missing, .. } = &report.completeness;
    let (served, arrived) = report.completeness.served_and_arrived();
    let mut text = match served {
        0 => "Dify served nothing on the days that were checked.".to_owned(),
        _ => format!(
            "{} of what Dify served arrived: {arrived} of {served} messages.",
            arrived_share(served, arrived)
        ),
    };
    for day in days {
        let share = arrived_share(day.served, day.arrived);
        write!(
            text,
            "\n  {}  {share}  {} of {}",
            day.day, day.arrived, day.served
        )?;
    }
    if !missing.is_empty() {
        write!(text, "\nMissing: {}", missing.len())?;
    }
    for message in missing {
        let tokens = match (message.input_tokens, message.output_tokens) {
            (Some(input), Some(output)) => format!("{input} + {output} tokens"),
            (Some(total), None) => format!("{total} tokens in all"),
            _ => "tokens unknown".to_owned(),
        };
        write!(
            text,
            "\n  {}  {}  {}  {tokens}",
            message.occurred_at, message.message_id, message.user_id
        )?;
    }
    match &report.charged {
        None if missing.is_empty() => {}
        None => text.push_str("\nNothing was charged; --charge charges it."),
        Some(charged) => {
            for reviewed in charged {
                let became = match (&reviewed.answer, &reviewed.problem) {
                    (Some(answer), _) => {
                        format!(
                            "{}, {} points",
                            answer.status.as_str(),
                            answer.points_deducted
                        )
                    }
                    (None, problem) => format!("not charged: {}", problem.as_deref().unwrap_or("")),
                };
                write!(text, "\n  {}  {became}", reviewed.message_id)?;
            }
        }
    }
    Ok(text)
}
