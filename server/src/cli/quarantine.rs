use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use app::text::InWords;
use clap::Subcommand;
use ledger::Ledger;
use shared::api::{Outcome, PAGE_ITEMS_MAX, QuarantineItem, QuarantineReason};
use shared::formats::dify::parse_webhook;
use shared::locale::Locale;
use uuid::Uuid;

use crate::cli::argument::parsed;
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List what waits, newest first.
    List {
        /// Only what waits for this reason: unknown_model, inactive_price, contradictory_tokens,
        /// zero_usage, too_many_tokens, overflow or unreadable.
        #[arg(long, value_parser = parse_reason)]
        reason: Option<QuarantineReason>,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_ITEMS_MAX)))]
        limit: u32,
        /// Where to go on: the "nextCursor" of the page before.
        #[arg(long)]
        cursor: Option<String>,
        /// Print {"items","nextCursor"}.
        #[arg(long)]
        json: bool,
    },
    /// Show one message with the body as it came.
    Show {
        /// As the list shows it.
        #[arg(value_parser = parsed::<Uuid>)]
        id: Uuid,
        /// Print {"item","status","resolvedAt","resolvedBy","resolution","usage"}.
        #[arg(long)]
        json: bool,
    },
    /// Charge a message as it was reported, whatever was doubted, or with other numbers.
    Charge {
        /// As the list shows it.
        #[arg(value_parser = parsed::<Uuid>)]
        id: Uuid,
        /// A file with the numbers to charge instead, in the webhook's format.
        #[arg(long, value_name = "FILE")]
        corrected: Option<PathBuf>,
        /// Print what the webhook would have answered.
        #[arg(long)]
        json: bool,
    },
    /// Give a message up: it is not charged.
    Dismiss {
        /// As the list shows it.
        #[arg(value_parser = parsed::<Uuid>)]
        id: Uuid,
        /// Why, as the audit log shows it.
        #[arg(long)]
        reason: String,
        /// Print the message as `show` does.
        #[arg(long)]
        json: bool,
    },
}

fn parse_reason(text: &str) -> Result<QuarantineReason, String> {
    let known = QuarantineReason::ALL;
    known
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|reason| reason.as_str()).collect();
            format!("must be one of: {}", names.join(", "))
        })
}

impl QuarantineCommand {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        match self {
            Self::List {
                reason,
                limit,
                cursor,
                json,
            } => {
                let page = ledger
                    .quarantine_for(reason, cursor.as_deref(), limit)
                    .await
                    .map_err(in_words)?;
                if json {
                    return Ending::json(&page);
                }
                let mut text = match page.items.len() {
                    0 => "Nothing waits.".to_owned(),
                    count => format!("{count} messages wait."),
                };
                for item in &page.items {
                    write!(text, "\n  {}", told(item))?;
                }
                if let Some(cursor) = page.next_cursor {
                    write!(text, "\nThere are more: --cursor {cursor}")?;
                }
                Ok(Ending::ok(text))
            }
            Self::Show { id, json } => show(ledger, id, json).await,
            Self::Charge {
                id,
                corrected,
                json,
            } => charge(ledger, id, corrected, json).await,
            Self::Dismiss { id, reason, json } => {
                ledger
                    .dismiss_quarantined(id, &reason, &actor())
                    .await
                    .map_err(in_words)?;
                if json {
                    return show(ledger, id, json).await;
                }
                Ok(Ending::ok("Dismissed: it will not be charged."))
            }
        }
    }
}

async fn show(ledger: &Ledger, id: Uuid, json: bool) -> Result<Ending> {
    let detail = ledger.quarantined(id).await.map_err(in_words)?;
    if json {
        return Ending::json(&detail);
    }
    let mut text = format!("{}\n  {}", told(&detail.item), detail.status.as_str());
    if let Some(by) = &detail.resolved_by {
        let why = detail.resolution.as_deref().unwrap_or_default();
        write!(text, " by {by}: {why}")?;
    }
    write!(text, "\n\n{}", detail.item.body)?;
    Ok(Ending::ok(text))
}

async fn charge(
    ledger: &Ledger,
    id: Uuid,
    corrected: Option<PathBuf>,
    json: bool,
) -> Result<Ending> {
    let usage = match corrected {
        None => None,
        Some(file) => {
            let body = std::fs::read(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            let usage = parse_webhook(&body).map_err(|problem| {
                anyhow!("{}: {}", file.display(), problem.message(Locale::En))
            })?;
            Some(usage)
        }
    };
    let answer = ledger
        .charge_quarantined(id, usage, &actor())
        .await
        .map_err(in_words)?;
    let text = if json {
        serde_json::to_string(&answer)?
    } else {
        match answer.reason {
            Some(reason) => format!("It waits on: {}.", reason.as_str()),
            None => format!(
                "Charged {} points; the balance is {} points.",
                answer.points_deducted, answer.balance
            ),
        }
    };
    Ok(Ending {
        text,
        is_ok: answer.status != Outcome::Quarantined,
    })
}

fn told(item: &QuarantineItem) -> String {
    let models: Vec<&str> = item.model_names.iter().map(|name| name.as_str()).collect();
    let user = item
        .user_id
        .as_ref()
        .map_or("(no user)", |user| user.as_str());
    let message = item.message_id.as_deref().unwrap_or("(no message id)");
    format!(
        "{}  {}  {}  {user}  {message}  {}  {} tokens, from {}",
        item.id,
        item.received_at,
        item.reason.as_str(),
        models.join(", "),
        item.tokens,
        item.source
    )
}
