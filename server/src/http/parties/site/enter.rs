//! `GET /enter?token=…`: a sign-in link. It turns a user token into the session cookie.

use app::address::refused_address;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use ledger::Visitor;
use serde::Deserialize;
use shared::clock::Timestamp;
use shared::problem::Problem;
use time::{Duration, OffsetDateTime};

use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

#[derive(Deserialize)]
pub struct Link {
    #[serde(default)]
    token: String,
}

pub async fn enter(
    State(http): State<Http>,
    Query(link): Query<Link>,
) -> Result<Response, Refusal> {
    let context = &http.0.context;
    // An administrator's token is no link: it would be one that anybody can be made to follow.
    let Some(Visitor::User(_)) = context.ledger.visitor(&link.token).await? else {
        let expired = refused_address(&Problem::LinkExpired, "", "/");
        return Ok(Redirect::to(&expired).into_response());
    };
    // The session itself ends when its token does; the cookie only has to last as long.
    let expires_at = Timestamp::new(OffsetDateTime::now_utc() + Duration::days(1));
    let cookie = http.access().session_cookie(link.token, expires_at);
    let cookie = cookie.ok_or(Problem::Internal)?;
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Redirect::to("/my")).into_response())
}
