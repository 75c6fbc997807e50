//! `/openai/v1/*`: an OpenAI-compatible gateway in front of a model provider, for Dify's model
//! settings. Each call is checked before, passed on byte by byte, and charged by what the provider
//! says it used. Only what can be metered is passed on: nothing is free.

mod call;
mod end_users;
mod error;
mod settle;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{any, get, post};
use ledger::{ApiKey, Scope};
use shared::problem::Problem;

pub use end_users::EndUsers;

use super::answer::Language;
use super::{Http, key};
use call::Endpoint;
use error::ApiError;

/// The routes under `/openai`.
pub fn routes() -> Router<Http> {
    Router::new()
        .route("/openai/v1/chat/completions", post(chat))
        .route("/openai/v1/completions", post(complete))
        .route("/openai/v1/embeddings", post(embed))
        .route("/openai/v1/models", get(models))
        .route("/openai/v1/models/{*model}", get(models))
        .route("/openai", any(unmetered))
        .route("/openai/{*path}", any(unmetered))
        .method_not_allowed_fallback(unmetered)
}

async fn chat(http: State<Http>, language: Language, request: Request) -> Response {
    call::serve(http.0, language.0, Endpoint::ChatCompletions, request).await
}

async fn complete(http: State<Http>, language: Language, request: Request) -> Response {
    call::serve(http.0, language.0, Endpoint::Completions, request).await
}

async fn embed(http: State<Http>, language: Language, request: Request) -> Response {
    call::serve(http.0, language.0, Endpoint::Embeddings, request).await
}

/// What models there are costs nothing.
async fn models(
    State(http): State<Http>,
    Language(locale): Language,
    request: Request,
) -> Response {
    let asked = async {
        let (parts, _) = request.into_parts();
        let key = authenticate(&http, &parts.headers).await?;
        let path = parts.uri.path();
        let rest = path.strip_prefix("/openai/v1").unwrap_or(path);
        call::pass(&http, &key, &parts, rest).await
    };
    asked
        .await
        .unwrap_or_else(|error: ApiError| error.into_response_in(locale))
}

async fn unmetered(Language(locale): Language) -> Response {
    ApiError::Unmetered.into_response_in(locale)
}

/// The source of a call.
async fn authenticate(http: &Http, headers: &HeaderMap) -> Result<Arc<ApiKey>, ApiError> {
    let presented = key::presented(headers).ok_or(Problem::MissingKey)?;
    let key = key::source(http.ledger(), presented).await?;
    let key = key.ok_or(Problem::InvalidKey)?;
    key::check_source(&key, Scope::Openai)?;
    Ok(key)
}
