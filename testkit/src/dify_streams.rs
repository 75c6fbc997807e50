//! A Dify that only streams, as many streams as are asked for, each event with the moment it was sent:
//! to measure what is between it and a client.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream;
use tokio::time::{Instant, sleep_until};

/// A quick model: twenty pieces of text a second, for five seconds.
pub const EVENT_PERIOD: Duration = Duration::from_millis(50);
pub const EVENTS: u32 = 100;
/// Before the moment in an event, in microseconds since 1970.
pub const SENT: &str = "\"sent\": ";

/// Microseconds since 1970: processes of one machine agree on them.
pub fn now_micros() -> Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    u64::try_from(now.as_micros()).context("the time")
}

/// Its Service API, as far as it goes.
pub fn routes() -> Router {
    Router::new()
        .route("/v1/chat-messages", post(chat))
        .with_state(Arc::new(AtomicU64::new(0)))
}

async fn chat(State(messages): State<Arc<AtomicU64>>) -> Response {
    let number = messages.fetch_add(1, Ordering::Relaxed);
    let message = format!("bench-{}-{number}", std::process::id());
    let begun = Instant::now();
    let events = stream::unfold(0, move |count| {
        let message = message.clone();
        async move {
            sleep_until(begun + EVENT_PERIOD * count).await;
            let event = match count {
                EVENTS.. => return None,
                count if count + 1 == EVENTS => end(&message),
                _ => said(&message),
            };
            Some((Ok::<_, Infallible>(event), count + 1))
        }
    });
    let body = Body::from_stream(events);
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn said(message: &str) -> String {
    format!(
        "data: {{\"event\": \"message\", \"conversation_id\": \"c\", \"message_id\": \"{message}\", {SENT}{}, \"task_id\": \"t\", \"answer\": \" word\", \"from_variable_selector\": [\"llm\", \"text\"]}}\n\n",
        now_micros().unwrap_or_default(),
    )
}

fn end(message: &str) -> String {
    format!(
        "data: {{\"event\": \"message_end\", \"conversation_id\": \"c\", \"message_id\": \"{message}\", {SENT}{}, \"metadata\": {{\"usage\": {{\"prompt_tokens\": 1000, \"completion_tokens\": 100, \"total_tokens\": 1100, \"latency\": 5.0}}}}}}\n\n",
        now_micros().unwrap_or_default(),
    )
}
