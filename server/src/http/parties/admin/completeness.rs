//! How complete the reports about an app's messages are, and what was never reported.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use shared::api::{ChargeMissing, CheckCompleteness, CompletenessQuery};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::{Parameters, from_body};
use crate::http::plumbing::state::Http;

/// `GET /api/admin/completeness?source=NAME`: what the last checks found.
pub async fn show(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let query: CompletenessQuery = parameters.read()?;
    let source = http.ledger().gateway_source(Some(&query.source)).await?;
    let found = http.ledger().completeness(&source).await?;
    Ok(success(words(locale, "Completeness", "完整性"), found))
}

/// `POST /api/admin/completeness` with `source` and `since`: asks Dify now.
pub async fn check(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let check: CheckCompleteness = from_body(request.into_body()).await?;
    let ledger = http.ledger();
    let source = ledger.gateway_source(Some(&check.source)).await?;
    // Who asks sees in the answer why it did not come to its end.
    (http.0.context.check_served)(Arc::clone(&source), check.since).await?;
    let found = ledger.completeness(&source).await?;
    Ok(success(words(locale, "Completeness", "完整性"), found))
}

/// `POST /api/admin/completeness/charge` with `source`, and if wanted `messages`
/// (`[{"messageId"}]`) and `modelName`: charges what is missing.
pub async fn charge(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let charge: ChargeMissing = from_body(request.into_body()).await?;
    let messages: Option<Vec<String>> = charge
        .messages
        .map(|messages| messages.into_iter().map(|it| it.message_id).collect());
    let ledger = http.ledger();
    let source = ledger.gateway_source(Some(&charge.source)).await?;
    let charged = ledger
        .charge_missing(&source, messages.as_deref(), charge.model_name, &actor)
        .await?;
    Ok(success(
        words(locale, "Charged", "已扣费"),
        app::reviewed(charged),
    ))
}
