//! The least that could stand in front of a model provider: requests and answers go through, as axum
//! and reqwest pass them on.

use anyhow::Result;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::response::Response;
use axum::routing::any;
use axum::{Router, body};
use reqwest::Client;

use crate::bare;

/// As many bytes as the requests of a measurement never have.
const BODY_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone)]
struct Upstream {
    url: String,
    client: Client,
}

/// As [`bare::listen`]. `upstream` is the address of the provider, without a path.
pub async fn serve(upstream: &str) -> Result<()> {
    let routes = Router::new().fallback(any(pass)).with_state(Upstream {
        url: upstream.to_owned(),
        // It calls no server by https.
        client: Client::builder().tls_certs_only([]).build()?,
    });
    bare::listen("A bare proxy", routes).await
}

async fn pass(State(upstream): State<Upstream>, request: Request) -> Result<Response, StatusCode> {
    let (mut parts, body) = request.into_parts();
    let bytes = body::to_bytes(body, BODY_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    for name in [HOST, CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    let answer = upstream
        .client
        .request(parts.method, format!("{}{}", upstream.url, parts.uri))
        .headers(parts.headers)
        .body(bytes)
        .send()
        .await
        .map_err(|_| StatusCode::BAD_GATEWAY)?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(TRANSFER_ENCODING);
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
