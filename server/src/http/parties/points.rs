//! `/api/user/points/*`: balance, estimate, check and history; `/api/user/tokens`.

use access::{origin, sign_in_link};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use shared::api::{CheckBalance, EntryKind, HOLD_SECONDS_DEFAULT, HOLD_SECONDS_MAX, HistoryFilter};
use shared::clock::Timestamp;

use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::params::{Params, idempotency_key};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

const TOKEN_MINUTES_DEFAULT: u32 = 60;
const TOKEN_MINUTES_MAX: u32 = 24 * 60;

/// `GET /api/user/points/balance`
pub async fn balance(
    State(http): State<Http>,
    Language(locale): Language,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let named = params.id("userId")?;
    params.finish()?;
    let user = caller.subject(named)?;
    let balance = http.ledger().balance(&user).await?;
    Ok(success(words(locale, "Balance", "积分余额"), balance))
}

/// `GET /api/user/points/estimate`
pub async fn estimate(
    State(http): State<Http>,
    Language(locale): Language,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let model = params.required_id("modelName")?;
    let input = params.count("inputTokens")?;
    let output = params.count("outputTokens")?;
    let named = params.id("userId")?;
    params.finish()?;
    let user = caller.optional_subject(named)?;
    let estimate = http
        .ledger()
        .estimate(user.as_ref(), &model, input, output)
        .await?;
    Ok(success(words(locale, "Estimate", "预估消耗"), estimate))
}

/// `POST /api/user/points/check-balance`
pub async fn check_balance(
    State(http): State<Http>,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let caller = http.access().caller(&parts.headers).await?;
    let key = idempotency_key(&parts.headers, caller.name())?;
    let mut params = Params::from_body(body).await?;
    let mut check = CheckBalance {
        model_name: params.required_id("modelName")?,
        estimated_input_tokens: params.count("estimatedInputTokens")?,
        estimated_output_tokens: params.count("estimatedOutputTokens")?,
        user_id: params.id("userId")?,
        hold: params.flag("hold")?,
        hold_seconds: Some(params.within(
            "holdSeconds",
            HOLD_SECONDS_DEFAULT,
            1,
            HOLD_SECONDS_MAX,
        )?),
    };
    params.finish()?;
    let user = caller.subject(check.user_id.take())?;
    let answer = http
        .ledger()
        .check_balance_once(&user, &check, key.as_ref())
        .await?;
    let message = if answer.can_proceed {
        words(locale, "The balance suffices", "积分余额充足")
    } else {
        words(locale, "The balance does not suffice", "积分余额不足")
    };
    Ok(success(message, answer))
}

/// `GET /api/user/points/history`
pub async fn history(
    State(http): State<Http>,
    Language(locale): Language,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let filter = HistoryFilter {
        model_name: params.id("modelName")?,
        from: params.time("from")?,
        to: params.time("to")?,
        kind: params.one_of("kind", &EntryKind::ALL, EntryKind::as_str)?,
    };
    let (cursor, limit) = params.page()?;
    let named = params.id("userId")?;
    params.finish()?;
    let user = caller.subject(named)?;
    let page = http
        .ledger()
        .history(&user, &filter, cursor.as_deref(), limit)
        .await?;
    Ok(success(words(locale, "History", "积分记录"), page))
}

/// `data` of a minted token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserToken {
    /// For `Authorization: Bearer …` on `/api/user/*`.
    token: String,
    expires_at: Timestamp,
    /// Opened in a browser, it signs the user in.
    sign_in_url: String,
}

/// `POST /api/user/tokens`: a short-lived token with which a user asks for their own points.
pub async fn mint_token(
    State(http): State<Http>,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let caller = http.access().caller(&parts.headers).await?;
    let operator = caller.operator(origin(&parts.extensions))?;
    let mut params = Params::from_body(body).await?;
    let user = params.required_id("userId")?;
    let minutes = params.within("minutes", TOKEN_MINUTES_DEFAULT, 1, TOKEN_MINUTES_MAX)?;
    params.finish()?;
    let session = http
        .ledger()
        .create_user_session(&user, minutes * 60, &operator)
        .await?;
    let message = words(locale, "Token created", "令牌已创建");
    Ok(success(
        message,
        UserToken {
            sign_in_url: sign_in_link(&http.0.base_url, &session.token),
            token: session.token,
            expires_at: session.expires_at,
        },
    ))
}
