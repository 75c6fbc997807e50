//! What the network sees: one module for each outside party, and the plumbing that they share.

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
use plumbing::refusal::{self, Asked, Refusal};
use plumbing::state::Http;
use plumbing::{body, headers};

/// All routes.
pub fn router(http: Http, gateway: Gateway) -> Router {
    // Answers that are too short, or must not wait, to be compressed.
    let plain = Router::new()
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
        .merge(openai::routes(&http))
        .merge(langfuse::routes())
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(gateway::routes(gateway))
        .method_not_allowed_fallback(refusal::method_not_allowed);
    let compressed = Router::new()
        .route("/api/user/points/history", get(points::history))
        .route("/enter", get(site::enter))
        .merge(admin::routes())
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

/// What every request passes, as one layer: what a layer moves and allocates for each request costs
/// more than what is done here.
async fn pass(State(http): State<Http>, request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let asked = Asked::of(&request, id);
    let response = if http.access().allows(request.method(), request.headers()) {
        next.run(request).await
    } else {
        Refusal::from(Problem::CrossSite).into_response()
    };
    let mut response = refusal::tell(&asked, response);
    headers::add(&mut response, id);
    response
}
