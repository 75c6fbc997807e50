//! `/api/admin/*`: what an administrator does, for the operator's own programs: with a key of scope
//! `admin`, or with an administrator's session.

mod accounts;
mod completeness;
mod jobs;
mod quarantine;
mod reports;
mod rollups;

use axum::Router;
use axum::routing::{get, post, put};

use crate::http::plumbing::state::Http;

/// All but the live feed.
pub fn routes() -> Router<Http> {
    Router::new()
        .route("/api/admin/accounts", get(accounts::list))
        .route(
            "/api/admin/accounts/{user_id}/debt-limit",
            put(accounts::set_debt_limit),
        )
        .route(
            "/api/admin/credits",
            get(accounts::credits).post(accounts::credit),
        )
        .route("/api/admin/refunds", post(accounts::refund))
        .route("/api/admin/quarantine", get(quarantine::list))
        .route("/api/admin/quarantine/{id}", get(quarantine::show))
        .route(
            "/api/admin/quarantine/{id}/charge",
            post(quarantine::charge),
        )
        .route(
            "/api/admin/quarantine/{id}/correct",
            post(quarantine::correct),
        )
        .route(
            "/api/admin/quarantine/{id}/dismiss",
            post(quarantine::dismiss),
        )
        .route("/api/admin/reratings/preview", post(jobs::preview_rerating))
        .route("/api/admin/reratings", post(jobs::start_rerating))
        .route("/api/admin/jobs", get(jobs::list))
        .route("/api/admin/jobs/{id}", get(jobs::show))
        .route(
            "/api/admin/completeness",
            get(completeness::show).post(completeness::check),
        )
        .route("/api/admin/completeness/charge", post(completeness::charge))
        .route("/api/admin/rollups", get(rollups::show))
        .route(
            "/api/admin/messages/{message_id}/reports",
            get(reports::of_message),
        )
        .route("/api/admin/differences", get(reports::differences))
}
