//! `/openai/v1/*`: an OpenAI-compatible gateway in front of a model provider, for Dify's model
//! settings. Each call is checked before, passed on byte by byte, and charged by what the provider
//! says it used. Only what can be metered is passed on: nothing is free.

mod call;
mod end_users;
mod endpoint;
mod error;
mod payer;
mod settle;
mod state;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};

use crate::http::plumbing::answer::Language;
use crate::http::plumbing::state::Http;
use endpoint::Endpoint;
use error::ApiError;
use state::Openai;

/// The routes under `/openai`.
pub fn routes(http: &Http) -> Router<Http> {
    Router::new()
        .route("/openai/v1/chat/completions", post(chat))
        .route("/openai/v1/completions", post(complete))
        .route("/openai/v1/embeddings", post(embed))
        .route("/openai/v1/models", get(models))
        .route("/openai/v1/models/{*model}", get(models))
        .route("/openai", any(unmetered))
        .route("/openai/{*path}", any(unmetered))
        .method_not_allowed_fallback(unmetered)
        .with_state(Openai::new(http.clone()))
}

async fn chat(openai: State<Openai>, language: Language, request: Request) -> Response {
    call::serve(openai.0, language.0, Endpoint::ChatCompletions, request).await
}

async fn complete(openai: State<Openai>, language: Language, request: Request) -> Response {
    call::serve(openai.0, language.0, Endpoint::Completions, request).await
}

async fn embed(openai: State<Openai>, language: Language, request: Request) -> Response {
    call::serve(openai.0, language.0, Endpoint::Embeddings, request).await
}

/// What models there are costs nothing.
async fn models(
    State(openai): State<Openai>,
    Language(locale): Language,
    request: Request,
) -> Response {
    let asked = async {
        let (parts, _) = request.into_parts();
        let path = parts.uri.path();
        let rest = path.strip_prefix("/openai/v1").unwrap_or(path);
        call::pass(&openai.http, &parts, rest).await
    };
    asked
        .await
        .unwrap_or_else(|error: ApiError| error.into_response_in(locale))
}

async fn unmetered(Language(locale): Language) -> Response {
    ApiError::Unmetered.into_response_in(locale)
}
