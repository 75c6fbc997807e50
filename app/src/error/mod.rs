//! What a server function answers when it does not answer what it was asked.

use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};
use shared::locale::Locale;
use shared::problem::Problem;

use crate::text::{InWords, Texts};

#[cfg(feature = "ssr")]
pub mod explain;
mod words;

/// Why a page did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub enum AppError {
    /// The server said no, and why.
    Refused(Problem),
    /// No answer came, so nobody knows whether the request arrived.
    Unreachable,
}

impl AppError {
    /// A sentence for people.
    #[must_use]
    pub fn message(&self, locale: Locale) -> String {
        match self {
            Self::Refused(problem) => problem.message(locale),
            Self::Unreachable => Texts::of(locale).common.unreachable.to_owned(),
        }
    }

    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            Self::Unreachable => None,
        }
    }
}

/// No words are [`AppError::Unreachable`].
impl From<AppError> for Vec<String> {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Refused(problem) => words::problem_words(&problem),
            AppError::Unreachable => Self::new(),
        }
    }
}

impl From<Vec<String>> for AppError {
    fn from(words: Vec<String>) -> Self {
        if words.is_empty() {
            return Self::Unreachable;
        }
        Self::Refused(words::problem_from(&words).unwrap_or(Problem::Internal))
    }
}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_) => Self::Unreachable,
            ServerFnErrorErr::Args(detail) | ServerFnErrorErr::MissingArg(detail) => {
                Self::from(Problem::InvalidJson { detail })
            }
            // The body of a refusal that did not come from a server function (a proxy, a limit).
            ServerFnErrorErr::Registration(_)
            | ServerFnErrorErr::UnsupportedRequestMethod(_)
            | ServerFnErrorErr::ServerError(_)
            | ServerFnErrorErr::MiddlewareError(_)
            | ServerFnErrorErr::Deserialization(_)
            | ServerFnErrorErr::Serialization(_)
            | ServerFnErrorErr::Response(_) => Self::from(Problem::Internal),
        }
    }
}

/// In the browser nothing but a problem can be told.
#[cfg(not(feature = "ssr"))]
impl From<Problem> for AppError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// Everything that is not the caller's fault is logged here, once, and told as "internal".
#[cfg(feature = "ssr")]
impl<E: explain::Explain> From<E> for AppError {
    fn from(error: E) -> Self {
        let problem = error.problem();
        if problem == Problem::Internal
            && let Some(error) = error.cause()
        {
            tracing::error!(%error, "a server function failed: {error}");
        }
        set_status(problem.status());
        Self::Refused(problem)
    }
}

/// Leptos answers every failed call with 500 unless it is told otherwise. A page that is being
/// rendered keeps its own status, and a plain form post must stay a redirect back to its page.
#[cfg(feature = "ssr")]
fn set_status(status: u16) {
    use axum::http::StatusCode;
    use axum::http::header::ACCEPT;
    use axum::http::request::Parts;
    use leptos::prelude::use_context;

    let Some(parts) = use_context::<Parts>() else {
        return;
    };
    let is_form_post = parts
        .headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if parts.uri.path().starts_with("/api/fn")
        && !is_form_post
        && let Some(options) = use_context::<leptos_axum::ResponseOptions>()
        && let Ok(status) = StatusCode::from_u16(status)
    {
        options.set_status(status);
    }
}
