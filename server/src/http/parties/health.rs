//! `/healthz`: the process runs. `/readyz`: it can do its work, which needs Postgres.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::Ledger;
use tokio::time::timeout;

const READY_SECONDS_MAX: u64 = 2;

pub async fn healthz() -> &'static str {
    "ok\n"
}

pub async fn readyz(State(ledger): State<Ledger>) -> Response {
    match timeout(Duration::from_secs(READY_SECONDS_MAX), ledger.ready()).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(_)) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        )
            .into_response(),
    }
}
