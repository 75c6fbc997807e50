//! One call: who pays, can they, pass it on, and see to its end, even when the client has gone.

use std::sync::Arc;

use access::key;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use ledger::{ApiKey, Scope};
use shared::clock::Timestamp;
use shared::formats::openai::{CallRequest, ModelAnswer, StreamReader, asking_for_usage};
use shared::locale::Locale;
use shared::problem::Problem;
use shared::source::SourceEntrance;
use time::OffsetDateTime;

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::payer::Payer;
use super::settle::AdmittedCall;
use super::state::Openai;
use crate::http::plumbing::state::Http;
use crate::http::plumbing::{body, metered, upstream};

/// Pictures are sent inside requests.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// An answer that is not a stream is read as a whole before it goes on.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Does a call in a task of its own, which goes on when the client does not: the provider is paid
/// for what it has begun.
pub async fn serve(
    openai: Openai,
    locale: Locale,
    endpoint: Endpoint,
    request: Request,
) -> Response {
    let calls = openai.http.0.calls.clone();
    let done = calls.spawn(async move { run(&openai, endpoint, request).await });
    match done.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response_in(locale),
        Err(_) => ApiError::Problem(Problem::Internal).into_response_in(locale),
    }
}

/// Passes on what costs nothing. It ends when its client leaves.
pub async fn pass(http: &Http, parts: &Parts, path: &str) -> Result<Response, ApiError> {
    let key = key::source(
        http.ledger(),
        &parts.headers,
        Scope::Entrance(SourceEntrance::Openai),
    )
    .await?;
    let response = send(http, &key, parts, path, Bytes::new()).await?;
    Ok(upstream::straight(response, http.0.upstream_silence_max))
}

async fn run(openai: &Openai, endpoint: Endpoint, request: Request) -> Result<Response, ApiError> {
    let http = &openai.http;
    let (parts, body) = request.into_parts();
    let key = key::source(
        http.ledger(),
        &parts.headers,
        Scope::Entrance(SourceEntrance::Openai),
    )
    .await?;
    let body = body::read_up_to(body, REQUEST_BYTES_MAX)
        .await
        .map_err(|refused| refused.problem)?;
    let asked = CallRequest::parse(&body)?;
    let hides_usage = asked.is_stream
        && !asked.wants_usage
        && endpoint != Endpoint::Embeddings
        && !key.settings.is_protecting_only;
    let body = if hides_usage {
        asking_for_usage(&body)?
    } else {
        body
    };
    let payer = Payer::of(openai, &key, asked.user.as_deref()).await?;
    let hold_id = payer.admit(openai, &key, endpoint, &asked).await?;
    let call = AdmittedCall {
        http: http.clone(),
        key: Arc::clone(&key),
        user: payer.user,
        request: asked,
        hold_id,
        began_at: Timestamp::new(OffsetDateTime::now_utc()),
    };
    let response = match send(http, &key, &parts, endpoint.path(), body.into()).await {
        Ok(response) => response,
        Err(error) => {
            call.release().await;
            return Err(error);
        }
    };
    if !response.status().is_success() {
        call.release().await;
        return Ok(upstream::straight(response, http.0.upstream_silence_max));
    }
    let media_type = response.headers().get(CONTENT_TYPE);
    if media_type.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream")) {
        Ok(relay(call, response, hides_usage))
    } else {
        whole(call, response).await
    }
}

async fn send(
    http: &Http,
    key: &ApiKey,
    parts: &Parts,
    path: &str,
    body: Bytes,
) -> Result<reqwest::Response, ApiError> {
    let url = upstream::url(key, path, parts.uri.query());
    // The name of a model must not lead to what is not metered.
    if url.as_ref().is_some_and(|url| !url.path().ends_with(path)) {
        return Err(ApiError::Unmetered);
    }
    let headers = upstream::forwarded(&parts.headers, key);
    let (Some(url), Some(mut headers)) = (url, headers) else {
        tracing::error!(
            source = key.name,
            "{} has no usable address or key",
            key.name
        );
        return Err(ApiError::Upstream);
    };
    // The body may have been rewritten.
    headers.remove(CONTENT_LENGTH);
    let mut request = reqwest::Request::new(parts.method.clone(), url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    let sent = upstream::send(&http.0.upstream, request).await;
    sent.map_err(|fault| {
        tracing::warn!(%fault, source = key.name, "{}: {fault}", key.name);
        ApiError::Upstream
    })
}

/// An answer that is no stream: in the books first, then told.
async fn whole(call: AdmittedCall, response: reqwest::Response) -> Result<Response, ApiError> {
    let (status, headers) = upstream::head(&response);
    let mut chunks = upstream::chunks(response, call.http.0.upstream_silence_max);
    let mut answer = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) if answer.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                answer.extend_from_slice(&chunk);
            }
            // Too long, broken off or silent: the client gets nothing, and pays nothing.
            _ => {
                call.release().await;
                return Err(ApiError::Upstream);
            }
        }
    }
    call.settle(ModelAnswer::of(&answer), true).await;
    Ok((status, headers, answer).into_response())
}

/// A stream: each piece goes on at once, as it is read.
fn relay(call: AdmittedCall, response: reqwest::Response, hides_usage: bool) -> Response {
    let (status, mut headers) = upstream::head(&response);
    // It may become shorter.
    headers.remove(CONTENT_LENGTH);
    let (client, body) = metered::channel();
    let calls = call.http.0.calls.clone();
    calls.spawn(async move {
        let mut reader = StreamReader::new(hides_usage);
        let read = |piece: Bytes| {
            let mut onward = Vec::with_capacity(piece.len());
            reader.read(&piece, &mut onward);
            onward.into()
        };
        let (http, source) = (&call.http, call.key.name.as_str());
        let relayed = metered::relay(http, source, response, Some(client), true, read).await;
        let mut rest = Vec::new();
        let seen = reader.finish(&mut rest);
        if let Some(client) = relayed.client.as_ref().filter(|_| !rest.is_empty()) {
            // Who has left meanwhile does not miss it.
            drop(client.send(Ok(rest.into())).await);
        }
        call.settle(seen, relayed.is_complete).await;
        drop(relayed.client);
    });
    (status, headers, body).into_response()
}
