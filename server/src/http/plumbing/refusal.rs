//! Refusals: in one shape, with the right status, in the caller's language.

use std::sync::Arc;

use app::Explain;
use app::text::InWords;
use axum::Json;
use axum::extract::Request;
use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use shared::api::Failure;
use shared::locale::Locale;
use shared::problem::Problem;
use uuid::Uuid;

use super::answer::locale_of;

/// Why a request was not done. Handlers return it with `?`; [`tell`] turns it into words.
#[derive(Debug)]
pub struct Refusal {
    problem: Problem,
    /// What happened inside; logged, never told.
    cause: Option<ledger::Error>,
}

impl<E: Explain> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self {
            problem: error.problem(),
            cause: error.cause(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = StatusCode::from_u16(self.problem.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// What was asked for, and how to answer it.
pub struct RequestContext {
    id: Uuid,
    method: Method,
    uri: Uri,
    locale: Locale,
}

impl RequestContext {
    pub fn of(request: &Request, id: Uuid) -> Self {
        Self {
            id,
            method: request.method().clone(),
            uri: request.uri().clone(),
            locale: locale_of(request.headers()),
        }
    }
}

/// Writes refusals in the caller's language and logs, once and with what was asked for, those
/// that are our own fault. Answers that are none pass untouched.
pub fn tell(asked: &RequestContext, mut response: Response) -> Response {
    let Some(refusal) = response.extensions_mut().remove::<Arc<Refusal>>() else {
        return response;
    };
    let RequestContext {
        id,
        method,
        uri,
        locale,
    } = asked;
    let problem = &refusal.problem;
    if let Some(cause) = &refusal.cause {
        let chain: &(dyn std::error::Error + 'static) = cause;
        tracing::error!(
            request_id = %id,
            %method,
            // Without the query: it may hold a token.
            path = uri.path(),
            code = problem.code(),
            error = chain,
            "{method} {} failed: {cause}",
            uri.path(),
        );
    } else {
        tracing::debug!(%method, path = uri.path(), code = problem.code(), "refused");
    }
    let (parts, _) = response.into_parts();
    let mut response = (
        parts.status,
        Json(Failure::new(problem, problem.message(*locale))),
    )
        .into_response();
    // A 405 comes with the list of methods that would do.
    if let Some(allow) = parts.headers.get(ALLOW) {
        response.headers_mut().insert(ALLOW, allow.clone());
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// For addresses that do not exist.
pub async fn not_found() -> Refusal {
    Problem::NotFound.into()
}

/// For addresses that exist, asked with another method.
pub async fn method_not_allowed() -> Refusal {
    Problem::MethodNotAllowed.into()
}
