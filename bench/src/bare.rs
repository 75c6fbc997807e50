//! The least that could answer check-balance: axum reads the question, and writes the same answer.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use shared::api::{BalanceCheck, CheckBalance, Success};
use tokio::net::TcpListener;

type BareAnswer = Success<BalanceCheck>;

/// As [`listen`]. `answer` is the body of an answer of the server.
pub async fn serve(answer: &str) -> Result<()> {
    let answer: BareAnswer = serde_json::from_str(answer).context("the answer")?;
    let routes = Router::new()
        .route("/api/user/points/check-balance", post(check))
        .with_state(Arc::new(answer));
    listen("A bare axum handler", routes).await
}

/// Serves until it is killed, on a free port that its first line names.
pub async fn listen(what: &str, routes: Router) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    writeln!(std::io::stdout(), "{what} is ready on http://{addr}")?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, routes).await?)
}

async fn check(
    State(answer): State<Arc<BareAnswer>>,
    Json(question): Json<CheckBalance>,
) -> Json<BareAnswer> {
    let mut answer = BareAnswer::clone(&answer);
    answer.data.estimate.model_name = question.model_name;
    Json(answer)
}
