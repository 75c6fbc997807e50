//! Stands in for a Dify server in a test: a real HTTP server that answers as it is told to, piece by piece, and
//! remembers what it was asked.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

/// One step of an answer's body.
pub enum ReplyStep {
    Send(Bytes),
    /// Waits until a test goes on.
    Wait(Arc<Notify>),
    Pause(Duration),
    /// Breaks the connection off.
    Break,
    /// Says nothing more and does not end.
    Silence,
}

pub struct Script {
    pub status: u16,
    pub headers: HeaderMap,
    /// Before anything is answered.
    pub delay: Option<Arc<Notify>>,
    pub steps: Vec<ReplyStep>,
}

impl Script {
    fn of(media_type: &'static str, steps: Vec<ReplyStep>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(media_type));
        headers.insert("x-version", HeaderValue::from_static("1.16.0"));
        Self {
            status: 200,
            headers,
            delay: None,
            steps,
        }
    }

    pub fn stream(steps: Vec<ReplyStep>) -> Self {
        Self::of("text/event-stream; charset=utf-8", steps)
    }

    /// A recorded stream, event by event.
    pub fn recorded(stream: &str) -> Self {
        Self::stream(events(stream).map(ReplyStep::Send).collect())
    }

    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::of("application/json", vec![ReplyStep::Send(text.into())])
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// The events of a stream, with the lines that end them.
pub fn events(stream: &str) -> impl Iterator<Item = Bytes> {
    let events: Vec<Bytes> = stream
        .split_inclusive("\n\n")
        .map(|event| Bytes::from(event.to_owned()))
        .collect();
    events.into_iter()
}

#[derive(Debug, Clone)]
pub struct DifyRequest {
    /// Path and query.
    pub address: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Default)]
struct DifyState {
    scripts: Mutex<VecDeque<Script>>,
    asked: watch::Sender<Vec<DifyRequest>>,
    /// Bytes of request bodies so far.
    received: watch::Sender<usize>,
    /// Answers that were given up before their end.
    abandoned: watch::Sender<usize>,
}

pub struct DifyStandIn {
    /// With `/v1`.
    pub url: String,
    shared: Arc<DifyState>,
}

impl DifyStandIn {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(DifyState::default());
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            url: format!("http://{address}/v1"),
            shared,
        }
    }

    /// What to answer next; without anything to answer, it says that all went well.
    pub fn will(&self, script: Script) {
        let mut scripts = self.shared.scripts.lock().expect("not poisoned");
        scripts.push_back(script);
    }

    pub fn asked(&self) -> Vec<DifyRequest> {
        self.shared.asked.borrow().clone()
    }

    pub fn last_asked(&self) -> DifyRequest {
        self.asked().pop().expect("a request")
    }

    pub async fn was_asked(&self, count: usize) {
        let mut asked = self.shared.asked.subscribe();
        let enough = asked.wait_for(|asked| asked.len() >= count);
        within(enough).await.expect("a sender");
    }

    pub async fn has_received(&self, bytes: usize) {
        let mut received = self.shared.received.subscribe();
        let enough = received.wait_for(|count| *count >= bytes);
        within(enough).await.expect("a sender");
    }

    pub async fn was_abandoned(&self) {
        let mut abandoned = self.shared.abandoned.subscribe();
        within(abandoned.wait_for(|count| *count > 0))
            .await
            .expect("a sender");
    }

    pub fn abandoned(&self) -> usize {
        *self.shared.abandoned.borrow()
    }
}

/// What a test waits for comes soon or never.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("it to happen within 30 seconds")
}

/// Tells that the answer it is in was given up.
struct Abandonment {
    shared: Arc<DifyState>,
    is_over: bool,
}

impl Drop for Abandonment {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.abandoned.send_modify(|count| *count += 1);
        }
    }
}

async fn answer(State(shared): State<Arc<DifyState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut chunks = body.into_data_stream();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        shared.received.send_modify(|count| *count += chunk.len());
        body.extend_from_slice(&chunk);
    }
    let asked = DifyRequest {
        address: parts.uri.to_string(),
        headers: parts.headers,
        body: body.into(),
    };
    shared.asked.send_modify(|all| all.push(asked));
    let script = shared.scripts.lock().expect("not poisoned").pop_front();
    let script = script.unwrap_or_else(|| Script::json(r#"{"result": "success"}"#));
    let abandonment = Abandonment {
        shared,
        is_over: false,
    };
    if let Some(delay) = script.delay {
        delay.notified().await;
    }
    let steps = VecDeque::from(script.steps);
    let body = stream::unfold(
        (steps, abandonment),
        async |(mut steps, mut abandonment)| {
            loop {
                let chunk = match steps.pop_front() {
                    None => {
                        abandonment.is_over = true;
                        return None;
                    }
                    Some(ReplyStep::Send(chunk)) => Ok(chunk),
                    Some(ReplyStep::Break) => {
                        abandonment.is_over = true;
                        // What was said before is sent before.
                        tokio::task::yield_now().await;
                        Err(io::Error::other("broken off"))
                    }
                    Some(ReplyStep::Wait(notify)) => {
                        notify.notified().await;
                        continue;
                    }
                    Some(ReplyStep::Pause(pause)) => {
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    Some(ReplyStep::Silence) => std::future::pending().await,
                };
                return Some((chunk, (steps, abandonment)));
            }
        },
    );
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = script.status.try_into().expect("a status");
    *response.headers_mut() = script.headers;
    response
}
