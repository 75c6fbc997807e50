//! Messages that wait, and what ends their wait.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use shared::api::{ChargeAsReported, DismissMessage, PAGE_ITEMS_DEFAULT, QuarantineQuery};
use shared::formats::dify::parse_webhook;
use shared::problem::Problem;
use uuid::Uuid;

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, charged, success, words};
use crate::http::plumbing::body;
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::{Parameters, from_body, from_optional_body};
use crate::http::plumbing::state::Http;

fn parse_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::NotFound)
}

/// `GET /api/admin/quarantine`
pub async fn list(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let query: QuarantineQuery = parameters.read()?;
    let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    let page = http
        .ledger()
        .quarantine_for(query.reason, query.cursor.as_deref(), limit)
        .await?;
    Ok(success(
        words(locale, "Waiting messages", "待处理的消息"),
        page,
    ))
}

/// `GET /api/admin/quarantine/{id}`
pub async fn show(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let detail = http.ledger().quarantined(parse_id(&id)?).await?;
    Ok(success(words(locale, "Message", "消息"), detail))
}

/// `POST /api/admin/quarantine/{id}/charge`: as it was reported.
pub async fn charge(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let ChargeAsReported {} = from_optional_body(request.into_body()).await?;
    let answer = http
        .ledger()
        .charge_quarantined(parse_id(&id)?, None, &actor)
        .await?;
    let message = words(locale, "Charged as reported", "已按上报内容扣费");
    Ok(charged(answer, locale, message))
}

/// `POST /api/admin/quarantine/{id}/correct`: with the numbers of the body, which has the webhook's
/// format.
pub async fn correct(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body::read(request.into_body())
        .await
        .map_err(|refused| refused.problem)?;
    let usage = parse_webhook(&body)?;
    let answer = http
        .ledger()
        .charge_quarantined(parse_id(&id)?, Some(usage), &actor)
        .await?;
    let message = words(locale, "Corrected and charged", "已更正并扣费");
    Ok(charged(answer, locale, message))
}

/// `POST /api/admin/quarantine/{id}/dismiss`
pub async fn dismiss(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let DismissMessage { reason } = from_body(request.into_body()).await?;
    let id = parse_id(&id)?;
    http.ledger()
        .dismiss_quarantined(id, &reason, &actor)
        .await?;
    let detail = http.ledger().quarantined(id).await?;
    let message = words(
        locale,
        "Dismissed: it will not be charged",
        "已忽略，不会扣费",
    );
    Ok(success(message, detail))
}
