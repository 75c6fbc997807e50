//! What the network sees: one module for each outside party, and the plumbing that they share.

mod openapi;
pub mod parties;
pub mod plumbing;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use shared::problem::Problem;
use tower_http::compression::CompressionLayer;
use uuid::Uuid;

use parties::gateway::Gateway;
use parties::{
    admin, gateway, guard, health, holds, langfuse, live, openai, points, site, webhook,
};
use plumbing::refusal::{self, Refusal, RequestContext};
use plumbing::state::Http;
use plumbing::{body, headers};

/// All routes.
pub fn router(http: Http, gateway: Gateway) -> Router {
    let plain = plain_routes()
        .merge(openai::routes(&http))
        .merge(langfuse::routes())
        .merge(gateway::routes(gateway))
        .method_not_allowed_fallback(refusal::method_not_allowed);
    let compressed = compressed_routes()
        .route("/enter", get(site::enter))
        .route("/api", any(refusal::not_found))
        .route("/api/", any(refusal::not_found))
        .route("/api/{*path}", any(refusal::not_found))
        .method_not_allowed_fallback(refusal::method_not_allowed);
    site::routes(compressed, &http)
        .layer((
            CompressionLayer::new(),
            // What server functions read; all else is read by `body`.
            DefaultBodyLimit::max(body::BYTES_MAX),
        ))
        .merge(plain)
        .layer(from_fn_with_state(http.clone(), pass))
        .with_state(http)
}

/// Routes of our own API whose answers are too short, or must not wait, to be compressed.
fn plain_routes() -> Router<Http> {
    Router::new()
        .route("/api/dify/webhook", post(webhook::deliver))
        .route("/api/dify/webhook/batch", post(webhook::deliver_batch))
        .route("/api/dify/guard", post(guard::ask))
        .route("/api/user/points/balance", get(points::balance))
        .route("/api/user/points/estimate", get(points::estimate))
        .route(
            "/api/user/points/check-balance",
            post(points::check_balance),
        )
        .route("/api/user/points/holds/{id}", get(holds::show))
        .route("/api/user/points/holds/{id}/settle", post(holds::settle))
        .route("/api/user/points/holds/{id}/release", post(holds::release))
        .route("/api/user/tokens", post(points::mint_token))
        .route("/api/admin/live", get(live::stream))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
}

/// The other routes of our own API.
fn compressed_routes() -> Router<Http> {
    Router::new()
        .route("/api/user/points/history", get(points::history))
        .route("/openapi.json", get(openapi::show))
        .merge(admin::routes())
}

/// What every request passes, as one layer: what a layer moves and allocates for each request costs
/// more than what is done here.
async fn pass(State(http): State<Http>, request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let asked = RequestContext::of(&request, id);
    let response = if http.access().allows(request.method(), request.headers()) {
        next.run(request).await
    } else {
        Refusal::from(Problem::CrossSite).into_response()
    };
    let mut response = refusal::tell(&asked, response);
    headers::add(&mut response, id);
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names of parameters aside.
    fn shape(path: &str) -> String {
        let parts = path.split('/').map(|part| match part.starts_with('{') {
            true => "{}",
            false => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    #[test]
    fn every_route_is_in_the_document() {
        // A router tells its paths to nobody but a debugger.
        let routes = format!("{:?}", plain_routes().merge(compressed_routes()));
        let own = routes.split("fallback_router").next().unwrap_or_default();
        let routed: BTreeSet<String> = own
            .split('"')
            .filter(|text| text.starts_with('/'))
            .map(shape)
            .collect();
        assert!(routed.contains("/api/admin/jobs/{}"), "{routes}");
        let document = openapi::document();
        let described: BTreeSet<String> = document.paths.paths.keys().map(|it| shape(it)).collect();
        assert_eq!(described, routed);
    }
}
