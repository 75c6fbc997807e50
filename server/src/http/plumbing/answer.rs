//! Answers: success in one shape, in the caller's language.

use std::convert::Infallible;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::api::{Outcome, Success, WebhookAnswer};
use shared::locale::Locale;

/// `200` with `{"success":true,"message":…,"data":…}`.
pub fn success<T: Serialize>(message: &str, data: T) -> Response {
    Json(Success::new(message, data)).into_response()
}

/// What an answer says beside its data, in the caller's language.
pub const fn words(locale: Locale, english: &'static str, chinese: &'static str) -> &'static str {
    match locale {
        Locale::En => english,
        Locale::Zh => chinese,
    }
}

/// What became of a report: 200 where it is charged, 202 where it waits.
pub fn charged(answer: WebhookAnswer, locale: Locale, processed: &'static str) -> Response {
    if answer.status != Outcome::Quarantined {
        return success(processed, answer);
    }
    let message = words(
        locale,
        "Kept, but not charged yet: it waits for an administrator",
        "已保存，尚未扣费，等待管理员处理",
    );
    (StatusCode::ACCEPTED, success(message, answer)).into_response()
}

/// The caller's language, by `Accept-Language`.
pub struct Language(pub Locale);

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(locale_of(&parts.headers)))
    }
}

/// The language of a request.
pub fn locale_of(headers: &HeaderMap) -> Locale {
    headers
        .get(ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok())
        .map_or_else(Locale::default, Locale::from_accept_language)
}
