//! `/api/user/points/*`: balance, estimate, check and history; `/api/user/tokens`.

use access::{origin, sign_in_link};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use shared::api::{
    CheckBalance, CreateToken, EstimateQuery, HOLD_SECONDS_DEFAULT, HistoryFilter, HistoryQuery,
    PAGE_ITEMS_DEFAULT, TOKEN_MINUTES_DEFAULT, UserQuery, UserToken,
};

use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::{Parameters, from_body, idempotency_key};
use crate::http::plumbing::state::Http;

/// `GET /api/user/points/balance`
pub async fn balance(
    State(http): State<Http>,
    Language(locale): Language,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let query: UserQuery = parameters.read()?;
    let user = caller.subject(query.user_id)?;
    let balance = http.ledger().balance(&user).await?;
    Ok(success(words(locale, "Balance", "积分余额"), balance))
}

/// `GET /api/user/points/estimate`
pub async fn estimate(
    State(http): State<Http>,
    Language(locale): Language,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let query: EstimateQuery = parameters.read()?;
    let user = caller.optional_subject(query.user_id)?;
    let estimate = http
        .ledger()
        .estimate(
            user.as_ref(),
            &query.model_name,
            query.input_tokens,
            query.output_tokens,
        )
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
    let mut check: CheckBalance = from_body(body).await?;
    check.hold_seconds.get_or_insert(HOLD_SECONDS_DEFAULT);
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
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let caller = http.access().caller(&headers).await?;
    let query: HistoryQuery = parameters.read()?;
    let user = caller.subject(query.user_id)?;
    let filter = HistoryFilter {
        model_name: query.model_name,
        from: query.from,
        to: query.to,
        kind: query.kind,
    };
    let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    let page = http
        .ledger()
        .history(&user, &filter, query.cursor.as_deref(), limit)
        .await?;
    Ok(success(words(locale, "History", "积分记录"), page))
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
    let asked: CreateToken = from_body(body).await?;
    let minutes = asked.minutes.unwrap_or(TOKEN_MINUTES_DEFAULT);
    let session = http
        .ledger()
        .create_user_session(&asked.user_id, minutes * 60, &operator)
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
