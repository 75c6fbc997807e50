//! `/langfuse/api/public/*`: what Dify's Monitoring asks of Langfuse, as far as it meters messages.
//! Answers are in the shapes that Langfuse's SDKs read.

use std::sync::Arc;

use access::credential::basic;
use app::Explain;
use app::text::InWords;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ledger::{ApiKey, Entrance, Ledger, Scope, TraceEvent};
use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::formats::langfuse::parse_batch;
use shared::locale::Locale;
use shared::problem::Problem;
use shared::source::SourceEntrance;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::http::plumbing::answer::Language;
use crate::http::plumbing::body;
use crate::http::plumbing::rejection::rejection;
use crate::http::plumbing::state::Http;

/// A batch holds whole conversations.
const BYTES_MAX: usize = 8 * 1024 * 1024;

pub fn routes() -> Router<Http> {
    Router::new()
        .route("/langfuse/api/public/projects", get(projects))
        .route("/langfuse/api/public/ingestion", post(ingest))
        .route("/langfuse/{*path}", axum::routing::any(nothing_else))
}

/// What Dify is told as "public key", beside the source's key as "secret key".
#[must_use]
pub fn public_key(source: Uuid) -> String {
    format!("pk-lf-{}", source.simple())
}

/// A refusal in Langfuse's shape.
struct Denied {
    problem: Problem,
    locale: Locale,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let Self { problem, locale } = self;
        let status = StatusCode::from_u16(problem.status());
        let told = json!({ "message": problem.message(locale), "error": problem.code() });
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(told)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = problem.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        response
    }
}

/// What the caller is told of an error; what is our own fault goes to the log.
fn problem_of(error: &ledger::Error) -> Problem {
    let problem = error.problem();
    if problem == Problem::Internal {
        tracing::error!(%error, "traces were not taken in");
    }
    problem
}

/// The source whose key pair is presented.
async fn authenticate(ledger: &Ledger, headers: &HeaderMap) -> Result<Arc<ApiKey>, Problem> {
    let (public, secret) = basic(headers).ok_or(Problem::MissingKey)?;
    let key = ledger.authenticate_key(&secret).await;
    let key = key.map_err(|error| problem_of(&error))?;
    key.filter(|key| {
        key.scope == Scope::Entrance(SourceEntrance::Langfuse) && public_key(key.id) == public
    })
    .ok_or(Problem::InvalidKey)
}

/// Asked when the keys are entered: whether they are right, and for the name of what they open.
async fn projects(
    State(ledger): State<Ledger>,
    Language(locale): Language,
    headers: HeaderMap,
) -> Response {
    match authenticate(&ledger, &headers).await {
        Ok(source) => Json(json!({ "data": [{
            "id": source.id,
            "name": source.name,
            "organization": { "id": "tollgate", "name": "Tollgate" },
            "metadata": {},
        }] }))
        .into_response(),
        Err(problem) => Denied { problem, locale }.into_response(),
    }
}

async fn ingest(
    State(ledger): State<Ledger>,
    Language(locale): Language,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    match take(&ledger, &parts.headers, body, locale).await {
        Ok(taken) => (StatusCode::MULTI_STATUS, Json(taken)).into_response(),
        Err(problem) => Denied { problem, locale }.into_response(),
    }
}

/// What became of the events of a batch, each by its id.
#[derive(Default, Serialize)]
struct IngestionResult {
    successes: Vec<Value>,
    errors: Vec<Value>,
}

async fn take(
    ledger: &Ledger,
    headers: &HeaderMap,
    body: Body,
    locale: Locale,
) -> Result<IngestionResult, Problem> {
    let at = Timestamp::new(OffsetDateTime::now_utc());
    let source = authenticate(ledger, headers).await?;
    let reject = async |body: &[u8], problem: &Problem| {
        let rejection = rejection(Entrance::Langfuse, body, problem, at);
        let rejected = ledger.reject(&source, rejection).await;
        rejected.map_err(|error| problem_of(&error))
    };
    let body = match body::read_up_to(body, BYTES_MAX).await {
        Ok(body) => body,
        Err(refused) => {
            reject(&refused.kept, &refused.problem).await?;
            return Err(refused.problem);
        }
    };
    let batch = match parse_batch(&body) {
        Ok(batch) => batch,
        Err(problem) => {
            reject(&body, &problem).await?;
            return Err(problem);
        }
    };
    let mut taken = IngestionResult::default();
    let mut events = Vec::new();
    for event in batch {
        match event.part {
            Ok(told) => {
                events.extend(told.map(|told| TraceEvent {
                    told,
                    raw: event.raw.to_owned(),
                }));
                taken
                    .successes
                    .push(json!({ "id": event.id, "status": 201 }));
            }
            Err(problem) => {
                reject(event.raw.as_bytes(), &problem).await?;
                taken.errors.push(json!({
                    "id": event.id,
                    "status": problem.status(),
                    "message": problem.message(locale),
                    "error": problem.code(),
                }));
            }
        }
    }
    if !events.is_empty() {
        let result = ledger.take_traces(&source, &events).await;
        result.map_err(|error| problem_of(&error))?;
    }
    Ok(taken)
}

/// The rest of Langfuse's API, and its pages.
async fn nothing_else(Language(locale): Language) -> Denied {
    Denied {
        problem: Problem::NotFound,
        locale,
    }
}
