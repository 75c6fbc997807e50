//! `/v1/*`: Dify's Service API, passed through unchanged, with the calls that run models checked
//! before and charged after.
//!
//! What is charged: chat messages, completion messages and workflow runs. A run that was paused for
//! a person's input is followed until it ends, also when its client does not ask for the rest at
//! `GET /workflow/{run_id}/events`, which is metered too. Everything else passes, also what makes Dify run a model without telling what it used: suggested questions,
//! audio, and the title of a conversation.
//!
//! A process that is killed in the middle of a call charges nothing for it: the hold runs out and
//! frees its points, Dify goes on or not, and the message is found by comparing with what Dify says
//! it served. Whatever ends less suddenly delivers what it saw.

mod address;
mod admission;
mod binding;
mod call;
mod check;
mod error;
mod follow;
mod form;
mod paused;
mod state;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use shared::problem::Problem;

use self::address::{Address, Treatment};
use self::admission::{APP_HEADER, Admission, TRACE_HEADER};
use self::binding::Unbound;
use self::call::GatewayCall;
use self::error::DifyError;
use self::form::Form;
use crate::http::plumbing::answer::Language;
use crate::http::plumbing::upstream;

pub use self::state::Gateway;

pub fn routes<S>(gateway: Gateway) -> Router<S> {
    Router::new()
        .route("/v1", any(handle))
        .route("/v1/", any(handle))
        .route("/v1/{*path}", any(handle))
        .route("/apps/{app}/v1/{*path}", any(handle))
        .with_state(gateway)
}

async fn handle(
    State(gateway): State<Gateway>,
    Language(locale): Language,
    request: Request,
) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    pass(gateway, request)
        .await
        .unwrap_or_else(|denial| denial.tell(locale))
}

/// Dify lets pages of any site call it with a key. Their browsers ask first, and name no key then, so
/// that nobody could tell which Dify to ask.
fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        ),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, x-api-key, x-app-code, x-tollgate-app",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn pass(gateway: Gateway, request: Request) -> Result<Response, DifyError> {
    let http = &gateway.http;
    let (parts, body) = request.into_parts();
    let address = Address::parse(parts.uri.path()).ok_or(Problem::NotFound)?;
    let admission = Admission::of(http, &parts.headers, address.app.as_deref());
    let Admission { source, user } = admission.await?;
    if user.is_some() && !address.is_scoped_by_user(&parts.method) {
        return Err(Problem::OtherUser.into());
    }
    let kind = address.kind(&parts.method);
    let misconfigured = || DifyError::Misconfigured {
        source: source.name.clone(),
    };
    let mut headers = upstream::forwarded(&parts.headers, &source).ok_or_else(misconfigured)?;
    headers.remove(APP_HEADER);
    if user.is_some() {
        // By its trace a message is recognised in traces: a user must not choose whose it is.
        headers.remove(TRACE_HEADER);
    }
    let url = upstream::url(&source, address.rest, parts.uri.query());
    let bound = Unbound {
        url: url.ok_or_else(misconfigured)?,
        headers,
        method: parts.method,
        body,
    }
    .bind(user.as_ref(), kind)
    .await?;
    match bound.speaker.clone() {
        Some(speaker) if kind == Treatment::Resumed => {
            let form = Form {
                gateway: gateway.clone(),
                source,
                token: address.last_part().to_owned(),
                user: speaker.id,
                is_own: user.is_some(),
            };
            // In a task of its own: the run goes on also when the client has left.
            let submitted = http.0.calls.spawn(form.submit(bound));
            submitted.await.map_err(|_| Problem::Internal)?
        }
        Some(speaker) if kind != Treatment::Passed => {
            let call = GatewayCall::new(gateway.http, source, speaker, kind, bound.text);
            call.start(bound.request).await
        }
        // Where Dify misses the user, it says so.
        _ => {
            let response = upstream::send(&http.0.upstream, bound.request).await?;
            Ok(upstream::straight(response, http.0.upstream_silence_max))
        }
    }
}
