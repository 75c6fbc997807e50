//! Accounts, what is credited to them, and what is given back.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use ledger::Grant;
use shared::api::{
    AccountsQuery, AddCredit, Credits, CreditsQuery, PAGE_ITEMS_DEFAULT, RefundCharge, SetDebtLimit,
};
use shared::ids::UserId;
use shared::problem::{FieldFault, Problem};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::{Parameters, from_body, idempotency_key};
use crate::http::plumbing::state::Http;

/// `GET /api/admin/accounts`
pub async fn list(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let query: AccountsQuery = parameters.read()?;
    let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    let page = http
        .ledger()
        .accounts(query.search.as_deref(), query.cursor.as_deref(), limit)
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
    let set: SetDebtLimit = from_body(request.into_body()).await?;
    let balance = http
        .ledger()
        .set_debt_limit(&user, set.debt_limit, &actor)
        .await?;
    let message = words(locale, "Debt limit set", "透支额度已设置");
    Ok(success(message, balance))
}

/// `GET /api/admin/credits`
pub async fn credits(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let CreditsQuery { user_id } = parameters.read()?;
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
    let credit: AddCredit = from_body(body).await?;
    let grant = Grant {
        points: credit.points,
        reason: credit.reason,
        is_bought: credit.is_bought,
        expires_at: credit.expires_at,
    };
    let posted = http
        .ledger()
        .grant_once(&credit.user_id, &grant, key.as_ref(), &actor)
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
    let refund: RefundCharge = from_body(body).await?;
    let user = &refund.user_id;
    let entry = match (refund.entry, &refund.consumption_id) {
        // Named by its entry, a charge needs no second name.
        (Some(_), Some(_)) => {
            return Err(Problem::field("consumptionId", FieldFault::Unknown).into());
        }
        (Some(entry), None) => i64::try_from(entry).map_err(|_| Problem::NotFound)?,
        (None, Some(id)) => http.ledger().charge_entry(user, id).await?,
        (None, None) => return Err(Problem::field("entry", FieldFault::Missing).into()),
    };
    let posted = http
        .ledger()
        .refund_once(
            user,
            entry,
            refund.points,
            &refund.reason,
            key.as_ref(),
            &actor,
        )
        .await?;
    Ok(success(words(locale, "Refunded", "已退还"), posted))
}
