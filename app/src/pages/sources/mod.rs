//! `/admin/sources`: where messages come from, what each source delivered last, and where two
//! reports of one message differ; with `?message=…` all reports of that message.

mod list;
mod reports;

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use serde::{Deserialize, Serialize};
use shared::api::Outcome;
use shared::clock::Timestamp;
use shared::source::SourceEntrance;

use crate::AppError;
use crate::ask::{Answer, Ask, ask, otherwise, shown};
use crate::components::awaited::awaited;
use crate::lean::Lean;
use crate::text::use_text;
use crate::wire::{Json, Telling, Told};

/// Everything on the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcesView {
    /// Newest first; those that were revoked last.
    pub sources: Vec<SourceView>,
    /// Newest first.
    pub differences: Vec<ReportView>,
    /// Of the message that was asked for, oldest first; none where it was never charged.
    pub reports: Vec<ReportView>,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    pub name: String,
    pub entrance: SourceEntrance,
    pub namespace: String,
    /// The first characters of its key.
    pub prefix: String,
    pub upstream_url: Option<String>,
    pub is_fail_open: bool,
    pub is_protecting_only: bool,
    pub revoked_at: Option<Timestamp>,
    pub last: Option<LastView>,
}

/// What a source delivered last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastView {
    pub received_at: Timestamp,
    pub outcome: Outcome,
    /// An error code or a quarantine reason.
    pub reason: Option<String>,
}

/// What a report says beside what was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    /// It was charged itself.
    Charged,
    Same,
    OtherTokens,
    /// It names another user than the one who paid.
    OtherUser,
}

/// One report of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportView {
    pub message_id: String,
    pub seen_at: Timestamp,
    pub source: String,
    pub user_id: String,
    pub says: Says,
    /// What it says was used.
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[cfg(feature = "ssr")]
impl From<ledger::SightingSummary> for ReportView {
    fn from(seen: ledger::SightingSummary) -> Self {
        use ledger::SightingDifference;

        Self {
            message_id: seen.message_id,
            seen_at: seen.seen_at,
            source: seen.source,
            user_id: seen.user_id,
            says: match seen.difference {
                Some(SightingDifference::User) => Says::OtherUser,
                Some(SightingDifference::Tokens) => Says::OtherTokens,
                None if seen.consumption_id.is_some() => Says::Charged,
                None => Says::Same,
            },
            input_tokens: seen.input_tokens.unsigned_abs(),
            output_tokens: seen.output_tokens.unsigned_abs(),
        }
    }
}

/// The sources, the latest differences, and the reports of `message`: any id that it is known by.
#[server(prefix = "/api/fn", endpoint = "all_sources", input = Json, output = Telling)]
pub async fn all_sources(message: Option<String>) -> Result<Told<SourcesView>, AppError> {
    use shared::problem::Problem;

    const DIFFERENCES_SHOWN_MAX: u32 = 50;

    let (context, _) = crate::auth::administrator().await?;
    let mut sources: Vec<_> = context
        .ledger
        .sources()
        .await?
        .into_iter()
        .map(|source| SourceView {
            name: source.name,
            entrance: source.entrance,
            namespace: source.namespace,
            prefix: source.prefix,
            upstream_url: source.settings.upstream_url,
            is_fail_open: source.settings.is_fail_open,
            is_protecting_only: source.settings.is_protecting_only,
            revoked_at: source.revoked_at,
            last: source.last_delivery.map(|last| LastView {
                received_at: last.received_at,
                outcome: last.outcome,
                reason: last.reason,
            }),
        })
        .collect();
    sources.sort_by_key(|source| source.revoked_at.is_some());
    let differences = context.ledger.differences(None, DIFFERENCES_SHOWN_MAX);
    let differences = differences.await?.items;
    let reports = match message {
        Some(message) => match context.ledger.sightings(&message).await {
            Err(error) if error.problem() == Problem::NotFound => Vec::new(),
            reports => reports?,
        },
        None => Vec::new(),
    };
    Told::new(&SourcesView {
        sources,
        differences: differences.into_iter().map(ReportView::from).collect(),
        reports: reports.into_iter().map(ReportView::from).collect(),
    })
}

#[component]
pub fn SourcesPage() -> impl IntoView {
    let text = use_text();
    let query = use_query_map();
    let message = move || {
        let asked = query.read().get("message")?;
        let asked = asked.trim();
        (!asked.is_empty()).then(|| asked.to_owned())
    };
    let sources = ask(move || Ask::Sources { message: message() });
    view! {
        <Title text=text.say(|t| t.sources.title) />
        {awaited(move || Box::pin(async move {
                match sources.await {
                    Ok(Answer::Sources(told)) => {
                        shown(&told, |view: SourcesView| {
                            view! {
                                <div class="page-head">
                                    <h1>{text.say(|t| t.sources.title)}</h1>
                                </div>
                                <list::Sources sources=view.sources />
                                <reports::Message
                                    message=query.read_untracked().get("message").unwrap_or_default()
                                    reports=view.reports
                                />
                                <reports::Differences differences=view.differences />
                            }
                                .lean()
                        })
                    }
                    other => otherwise(other),
                }
            }))}
    }
    .lean()
}
