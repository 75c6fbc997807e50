//! `/api/user/points/holds/{id}`: what becomes of points that `check-balance` promised to a call.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use ledger::{Delivery, Entrance};
use shared::api::{ReleaseHold, SettleHold, UserQuery};
use shared::ids::checked_id;
use shared::problem::{FieldFault, Problem};
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};

use crate::http::plumbing::answer::{Language, charged, success, words};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::{Parameters, from_body, from_optional_body};
use crate::http::plumbing::state::Http;

/// `GET /api/user/points/holds/{id}`
pub async fn show(
    State(http): State<Http>,
    Language(locale): Language,
    Path(hold_id): Path<String>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let query: UserQuery = parameters.read()?;
    let user = caller.subject(query.user_id)?;
    let hold = http.ledger().find_hold(&user, &hold_id).await?;
    Ok(success(words(locale, "Hold", "冻结积分"), hold))
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
    let release: ReleaseHold = from_optional_body(body).await?;
    let user = caller.subject(release.user_id)?;
    let hold = http.ledger().release_hold(&user, &hold_id).await?;
    Ok(success(words(locale, "Hold released", "冻结已解除"), hold))
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
    let used: SettleHold = from_body(body).await?;
    let user = caller.subject(used.user_id)?;
    let hold = http.ledger().find_hold(&user, &hold_id).await?;
    let tokens = Tokens {
        input: used.input_tokens,
        output: used.output_tokens,
        cached_input: used.cached_input_tokens,
        cache_write: used.cache_write_tokens,
        reasoning: used.reasoning_tokens,
    };
    let message_id = match &used.message_id {
        Some(id) => checked_id(id)
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
            model_name: used
                .model_name
                .or(hold.model_name)
                .ok_or_else(|| Problem::field("modelName", FieldFault::Missing))?,
            tokens,
            evidence: None,
        }],
        reported_total: None,
        has_answer: false,
        evidence: Evidence::Measured,
        assumed_model: None,
    };
    let delivery = Delivery::own(Arc::clone(source), Entrance::Settlement, message);
    let answer = http.ledger().settle_hold(&hold.hold_id, delivery).await?;
    Ok(charged(
        answer,
        locale,
        words(locale, "Hold settled", "冻结已结算"),
    ))
}
