//! What the network sees: one file per outside party, and what they have in common.

mod admin;
mod answer;
mod blocked;
mod body;
mod caller;
mod csrf;
mod dify_webhook;
mod enter;
mod gateway;
mod guard;
mod headers;
mod health;
mod holds;
mod key;
pub mod langfuse;
mod live;
mod metered;
mod openai;
mod params;
mod points;
mod signature;
mod site;
pub mod upstream;

use std::sync::Arc;
use std::time::Duration;

use app::AppContext;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use ledger::Ledger;
use leptos::config::LeptosOptions;
use shared::problem::Problem;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use uuid::Uuid;

use answer::{Asked, Refusal};

pub use enter::url as sign_in_url;
pub use gateway::{FOLLOWED_MAX, follow_paused_runs};
pub use openai::EndUsers;

/// What every handler shares.
#[derive(Clone)]
pub struct Http(Arc<Shared>);

/// The parts of [`Http`].
pub struct Shared {
    pub context: AppContext,
    pub leptos: LeptosOptions,
    /// As configured.
    pub public_url: Option<String>,
    /// Where people reach this server.
    pub base_url: String,
    /// Cancelled when the server is about to stop; answers that would never end, end.
    pub shutdown: CancellationToken,
    /// Calls the servers behind sources.
    pub upstream: reqwest::Client,
    /// How long such a server may be silent in the middle of an answer.
    pub upstream_silence_max: Duration,
    /// Metered calls: they go on when the client has left, and the server waits for them to be
    /// charged before it stops.
    pub calls: TaskTracker,
    /// So many paused runs may be followed at once.
    pub followers: Arc<Semaphore>,
    /// Whom Dify's own ids of end users mean.
    pub end_users: EndUsers,
}

impl Http {
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    fn ledger(&self) -> &Ledger {
        &self.0.context.ledger
    }
}

impl FromRef<Http> for Ledger {
    fn from_ref(http: &Http) -> Self {
        http.ledger().clone()
    }
}

impl FromRef<Http> for AppContext {
    fn from_ref(http: &Http) -> Self {
        http.0.context.clone()
    }
}

impl FromRef<Http> for LeptosOptions {
    fn from_ref(http: &Http) -> Self {
        http.0.leptos.clone()
    }
}

/// All routes.
pub fn router(http: Http) -> Router {
    // Answers that are too short, or must not wait, to be compressed.
    let plain = Router::new()
        .route("/api/dify/webhook", post(dify_webhook::deliver))
        .route("/api/dify/webhook/batch", post(dify_webhook::deliver_batch))
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
        .merge(openai::routes())
        .merge(langfuse::routes())
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(gateway::routes())
        .method_not_allowed_fallback(answer::method_not_allowed);
    let compressed = Router::new()
        .route("/api/user/points/history", get(points::history))
        .route("/enter", get(enter::enter))
        .merge(admin::routes())
        .route("/api", any(answer::not_found))
        .route("/api/", any(answer::not_found))
        .route("/api/{*path}", any(answer::not_found))
        .method_not_allowed_fallback(answer::method_not_allowed);
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
    let response = if csrf::allows(&request, http.0.public_url.as_deref()) {
        next.run(request).await
    } else {
        Refusal::from(Problem::CrossSite).into_response()
    };
    let mut response = answer::tell(&asked, response);
    headers::add(&mut response, id);
    response
}
