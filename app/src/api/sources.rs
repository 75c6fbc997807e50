//! Where messages come from, and where two reports of one message differ.

use serde::{Deserialize, Serialize};
use shared::api::Outcome;
use shared::clock::Timestamp;
use shared::source::SourceEntrance;

use super::completeness::CheckedSource;

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourcesView {
    All(SourceList),
    /// A gateway source.
    One(Box<CheckedSource>),
}

/// Everything about all sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceList {
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
    /// Of a gateway source in use; zeros before its first check.
    pub share: Option<Share>,
}

/// How complete the reports about a source's messages are, in short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub served: u64,
    pub arrived: u64,
    pub missing: u64,
    pub has_failed: bool,
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
}

/// One report of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportView {
    pub message_id: String,
    pub reported_at: Timestamp,
    pub source: String,
    pub user_id: String,
    pub says: Says,
    /// What it says was used.
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[cfg(feature = "ssr")]
impl From<shared::api::ReportSummary> for ReportView {
    fn from(report: shared::api::ReportSummary) -> Self {
        use shared::api::ReportDifference;

        Self {
            message_id: report.message_id,
            reported_at: report.reported_at,
            source: report.source,
            user_id: report.user_id,
            says: match report.difference {
                Some(ReportDifference::Tokens) => Says::OtherTokens,
                None if report.consumption_id.is_some() => Says::Charged,
                None => Says::Same,
            },
            input_tokens: report.input_tokens.unsigned_abs(),
            output_tokens: report.output_tokens.unsigned_abs(),
        }
    }
}

/// The sources, the latest differences, and the reports of `message`: any id that it is known by. With
/// `source`, only how complete that one's reports are.
///
/// # Errors
/// `NotFound` for a name that no gateway source in use has.
#[cfg(feature = "ssr")]
pub async fn all_sources(
    message: Option<String>,
    source: Option<String>,
) -> Result<SourcesView, crate::error::AppError> {
    use ledger::{OperationError, UnknownMessage};

    const DIFFERENCES_SHOWN_MAX: u32 = 50;

    let (context, _) = crate::auth::administrator().await?;
    let ledger = &context.ledger;
    if let Some(source) = source {
        let checked = super::completeness::checked_source(ledger, &source).await?;
        return Ok(SourcesView::One(Box::new(checked)));
    }
    let shares = ledger.completeness_shares().await?;
    let sources = ledger.sources().await?.into_iter().map(|source| {
        let is_asked = source.entrance == SourceEntrance::Gateway && source.revoked_at.is_none();
        let share = shares.get(&source.id).map(|share| Share {
            served: share.served,
            arrived: share.arrived,
            missing: share.missing,
            has_failed: share.has_failed,
        });
        SourceView {
            share: is_asked.then(|| share.unwrap_or_default()),
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
        }
    });
    let mut sources: Vec<_> = sources.collect();
    sources.sort_by_key(|source| source.revoked_at.is_some());
    let differences = ledger.report_differences(None, DIFFERENCES_SHOWN_MAX);
    let differences = differences.await?.items;
    let reports = match message {
        Some(message) => match ledger.reports(&message).await {
            Err(OperationError::Refused(UnknownMessage)) => Vec::new(),
            reports => reports?,
        },
        None => Vec::new(),
    };
    Ok(SourcesView::All(SourceList {
        sources,
        differences: differences.into_iter().map(ReportView::from).collect(),
        reports: reports.into_iter().map(ReportView::from).collect(),
    }))
}
