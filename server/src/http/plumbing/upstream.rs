//! What is passed on, byte for byte, to the servers behind sources: Dify, or a provider of models.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use futures::stream::{self, BoxStream, StreamExt};
use ledger::ApiKey;
use reqwest::{Client, Request, Response, Url};
use thiserror::Error;

/// How long the head of an answer may take. A blocking call has none until its run is over, which
/// Dify ends after twenty minutes.
const HEAD_MAX: Duration = Duration::from_secs(21 * 60);

/// Why there is no answer, or no more of it.
#[derive(Debug, Error)]
pub enum UpstreamFault {
    #[error("the server behind this source cannot be reached: {0}")]
    Unreachable(#[source] reqwest::Error),
    #[error("the server behind this source did not answer in time")]
    Silent,
    #[error("the server behind this source broke its answer off: {0}")]
    BrokenOff(#[source] reqwest::Error),
}

impl UpstreamFault {
    /// Whether the request cannot have been read by the server.
    #[must_use]
    pub fn is_before_sending(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.is_connect())
    }
}

/// Sends a request and waits for the head of its answer.
///
/// # Errors
/// [`UpstreamFault`].
pub async fn send(client: &Client, request: Request) -> Result<Response, UpstreamFault> {
    match tokio::time::timeout(HEAD_MAX, client.execute(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if error.is_timeout() => Err(UpstreamFault::Silent),
        // Its address may hold the token of a form.
        Ok(Err(error)) => Err(UpstreamFault::Unreachable(error.without_url())),
        Err(_) => Err(UpstreamFault::Silent),
    }
}

/// The body of an answer as it arrives, until its end or until the server is silent for too long.
/// Silence counts only while somebody waits: a client that is slow to read is not the server's fault.
pub fn chunks(
    response: Response,
    silence_max: Duration,
) -> BoxStream<'static, Result<Bytes, UpstreamFault>> {
    let chunks = response.bytes_stream().boxed();
    stream::unfold(Some(chunks), move |chunks| async move {
        let mut chunks = chunks?;
        match tokio::time::timeout(silence_max, chunks.next()).await {
            Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(chunks))),
            Ok(Some(Err(error))) => {
                Some((Err(UpstreamFault::BrokenOff(error.without_url())), None))
            }
            Ok(None) => None,
            Err(_) => Some((Err(UpstreamFault::Silent), None)),
        }
    })
    .boxed()
}

/// Status and headers as the server gave them.
pub fn head(response: &Response) -> (StatusCode, HeaderMap) {
    let mut headers = response.headers().clone();
    remove_hop_by_hop(&mut headers);
    (response.status(), headers)
}

/// An answer that costs nothing, passed on as it comes. It ends when its client leaves.
pub fn straight(response: Response, silence_max: Duration) -> axum::response::Response {
    let (status, headers) = head(&response);
    let body = Body::from_stream(chunks(response, silence_max));
    (status, headers, body).into_response()
}

/// Where a request goes: `rest` behind the source's own address. `None` when that is of no use.
pub fn url(source: &ApiKey, rest: &str, query: Option<&str>) -> Option<Url> {
    let base = source.settings.upstream_url.as_deref()?;
    let mut url: Url = format!("{base}{rest}").parse().ok()?;
    url.set_query(query);
    Some(url)
}

/// The client's headers, without what is between it and Tollgate, and with the key of the server.
/// `None` when the source has none that can be sent.
pub fn forwarded(client: &HeaderMap, source: &ApiKey) -> Option<HeaderMap> {
    let mut headers = client.clone();
    remove_hop_by_hop(&mut headers);
    let api_key = HeaderName::from_static("x-api-key");
    for name in [AUTHORIZATION, api_key, COOKIE, HOST, EXPECT] {
        headers.remove(name);
    }
    let key = source.upstream_key.as_deref()?;
    let mut key = HeaderValue::try_from(format!("Bearer {key}")).ok()?;
    key.set_sensitive(true);
    headers.insert(AUTHORIZATION, key);
    // The copy that is read is the one that the client gets.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Some(headers)
}

/// Takes away the headers that concern one connection only.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let keep_alive = HeaderName::from_static("keep-alive");
    let always = [
        CONNECTION,
        keep_alive,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in always.into_iter().chain(named) {
        headers.remove(name);
    }
}
