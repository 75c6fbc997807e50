//! Accounts, what is credited to them, and what is given back.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use ledger::Grant;
use serde::Serialize;
use shared::api::CreditItem;
use shared::ids::UserId;
use shared::problem::{FieldFault, Problem};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::params::{Params, idempotency_key};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

/// `GET /api/admin/accounts`
pub async fn list(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    mut params: Params,
) -> Result<Response, Refusal> {
    let search = params.text("search")?;
    let (cursor, limit) = params.page()?;
    params.finish()?;
    let page = http
        .ledger()
        .accounts(search.as_deref(), cursor.as_deref(), limit)
        .await?;
    Ok(success(words(locale, "Accounts", "账户"), page))
}

/// `PUT /api/admin/accounts/{userId}/debt-limit`
pub async fn set_debt_limit(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    Path(user): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let user: UserId = user
        .parse()
        .map_err(|fault| Problem::field("userId", FieldFault::from(fault)))?;
    let mut params = Params::from_body(request.into_body()).await?;
    let limit = params.required_points("debtLimit")?;
    params.finish()?;
    let balance = http.ledger().set_debt_limit(&user, limit, &actor).await?;
    let message = words(locale, "Debt limit set", "透支额度已设置");
    Ok(success(message, balance))
}

/// `data` of what is left of a user's points.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Credits {
    user_id: UserId,
    /// In the order in which they are used.
    items: Vec<CreditItem>,
}

/// `GET /api/admin/credits`
pub async fn credits(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    mut params: Params,
) -> Result<Response, Refusal> {
    let user_id = params.required_id("userId")?;
    params.finish()?;
    let items = http.ledger().credits(&user_id).await?;
    let message = words(
        locale,
        "What is left, by order of use",
        "剩余积分，按使用顺序",
    );
    Ok(success(message, Credits { user_id, items }))
}

/// `POST /api/admin/credits`
pub async fn credit(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let key = idempotency_key(&parts.headers, actor.name.as_str())?;
    let mut params = Params::from_body(body).await?;
    let user: UserId = params.required_id("userId")?;
    let grant = Grant {
        points: params.required_points("points")?,
        reason: params.required_text("reason")?,
        is_bought: params.flag("isBought")?,
        expires_at: params.time("expiresAt")?,
    };
    params.finish()?;
    let posted = http
        .ledger()
        .grant_once(&user, &grant, key.as_ref(), &actor)
        .await?;
    let message = if grant.points.is_negative() {
        words(locale, "Points taken", "积分已扣减")
    } else {
        words(locale, "Points credited", "积分已发放")
    };
    Ok(success(message, posted))
}

/// `POST /api/admin/refunds`
pub async fn refund(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let key = idempotency_key(&parts.headers, actor.name.as_str())?;
    let mut params = Params::from_body(body).await?;
    let user: UserId = params.required_id("userId")?;
    let entry = params.count("entry")?;
    // Named by its entry, a charge needs no second name.
    let consumption = match entry {
        Some(_) => None,
        None => params.text("consumptionId")?,
    };
    let points = params.points("points")?;
    let reason = params.required_text("reason")?;
    params.finish()?;
    let entry = match (entry, consumption) {
        (Some(entry), _) => i64::try_from(entry).map_err(|_| Problem::NotFound)?,
        (None, Some(id)) => http.ledger().charge_entry(&user, &id).await?,
        (None, None) => return Err(Problem::field("entry", FieldFault::Missing).into()),
    };
    let posted = http
        .ledger()
        .refund_once(&user, entry, points, &reason, key.as_ref(), &actor)
        .await?;
    Ok(success(words(locale, "Refunded", "已退还"), posted))
}
