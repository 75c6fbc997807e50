//! `/api/user/points/holds/{id}`: what becomes of points that `check-balance` promised to a call.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use ledger::{Delivery, Entrance};
use shared::dify::{Evidence, MessageUsage, ModelCall};
use shared::ids::checked_id;
use shared::problem::{FieldFault, Problem};
use shared::tokens::Tokens;

use crate::http::plumbing::answer::{Language, charged, success, words};
use crate::http::plumbing::params::Params;
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

/// `GET /api/user/points/holds/{id}`
pub async fn show(
    State(http): State<Http>,
    Language(locale): Language,
    Path(hold_id): Path<String>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let named = params.id("userId")?;
    params.finish()?;
    let user = caller.subject(named)?;
    let hold = http.ledger().find_hold(&user, &hold_id).await?;
    Ok(success(words(locale, "Hold", "预留积分"), hold))
}

/// `POST /api/user/points/holds/{id}/release`
pub async fn release(
    State(http): State<Http>,
    Language(locale): Language,
    Path(hold_id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let caller = http.access().caller(&parts.headers).await?;
    let mut params = Params::from_optional_body(body).await?;
    let named = params.id("userId")?;
    params.finish()?;
    let user = caller.subject(named)?;
    let hold = http.ledger().release_hold(&user, &hold_id).await?;
    Ok(success(words(locale, "Hold released", "预留已释放"), hold))
}

/// `POST /api/user/points/holds/{id}/settle`: what the call really used. Only a service key may say
/// that; a user who could would report nothing.
pub async fn settle(
    State(http): State<Http>,
    Language(locale): Language,
    Path(hold_id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let caller = http.access().caller(&parts.headers).await?;
    let source = caller.key()?;
    let mut params = Params::from_body(body).await?;
    let user = caller.subject(params.id("userId")?)?;
    let hold = http.ledger().find_hold(&user, &hold_id).await?;
    let tokens = Tokens {
        input: params.required_count("inputTokens")?,
        output: params.required_count("outputTokens")?,
        cached_input: params.count("cachedInputTokens")?.unwrap_or(0),
        cache_write: params.count("cacheWriteTokens")?.unwrap_or(0),
        reasoning: params.count("reasoningTokens")?.unwrap_or(0),
    };
    let message_id = match params.text("messageId")? {
        Some(id) => checked_id(&id)
            .map_err(|fault| Problem::field("messageId", fault))?
            .to_owned(),
        None => hold.hold_id.clone(),
    };
    let message = MessageUsage {
        message_id,
        also_known_as: Vec::new(),
        user_id: user,
        conversation_id: None,
        request_id: None,
        occurred_at: None,
        calls: vec![ModelCall {
            call_id: None,
            model_name: params
                .id("modelName")?
                .or(hold.model_name)
                .ok_or_else(|| Problem::field("modelName", FieldFault::Missing))?,
            tokens,
        }],
        reported_total: None,
        has_answer: false,
        evidence: Evidence::Reported,
    };
    params.finish()?;
    let delivery = Delivery::told(Arc::clone(source), Entrance::Settlement, message);
    let answer = http.ledger().settle_hold(&hold.hold_id, delivery).await?;
    Ok(charged(
        answer,
        locale,
        words(locale, "Hold settled", "预留已结算"),
    ))
}
