//! A stand-in for a model provider and for Dify's list of end users: a real HTTP server that answers
//! as told and remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub const KEY: &str = "sk-of-the-provider";

pub const CHAT_PATH: &str = "/v1/chat/completions";

/// What a chat completion answers; 100 tokens in, 60 of them cached, 50 out, 20 of them reasoning.
pub const ANSWER: &str = r#"{ "id": "chatcmpl-1", "object": "chat.completion", "created": 1705407629, "model": "gpt-4-0613",
  "choices": [ { "index": 0, "message": { "role": "assistant", "content": "你好 there" }, "finish_reason": "stop" } ],
  "usage": { "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
    "prompt_tokens_details": { "cached_tokens": 60 }, "completion_tokens_details": { "reasoning_tokens": 20 } } }"#;

const CHUNKS: [&str; 3] = [
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1705407629,\"model\":\"gpt-4-0613\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1705407629,\"model\":\"gpt-4-0613\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"你好 there\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1705407629,\"model\":\"gpt-4-0613\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
];
const USAGE: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1705407629,\"model\":\"gpt-4-0613\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":150}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// The whole stream, with the chunk that tells the usage or without.
pub fn stream(with_usage: bool) -> String {
    let usage = if with_usage { USAGE } else { "" };
    format!("{}{usage}{DONE}", CHUNKS.concat())
}

pub const EMBEDDINGS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.0023064255,-0.009327292]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":1000,"total_tokens":1000}}"#;

/// The end user whom Dify knows by `DIFY_ID`.
pub const DIFY_ID: &str = "11111111-1111-4111-8111-111111111111";

/// What it was asked.
#[derive(Debug, Clone)]
pub struct ProviderRequest {
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl ProviderRequest {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

#[derive(Clone)]
struct ProviderState {
    asked: Arc<Mutex<Vec<ProviderRequest>>>,
    /// One permit lets one piece of a stream pass whose request says that it waits.
    pieces: Arc<Semaphore>,
    streams_ended: watch::Sender<u32>,
}

pub struct Provider {
    pub url: String,
    shared: ProviderState,
    serving: JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Provider {
    pub async fn start() -> Self {
        let shared = ProviderState {
            asked: Arc::default(),
            pieces: Arc::new(Semaphore::new(0)),
            streams_ended: watch::Sender::new(0),
        };
        let routes = Router::new()
            .route(CHAT_PATH, post(chat))
            .route("/v1/completions", post(chat))
            .route("/v1/embeddings", post(embed))
            .route("/v1/models", get(models))
            .route("/v1/models/{*model}", get(models))
            .route("/v1/end-users/{id}", get(end_user))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("served");
        });
        Self {
            url: format!("http://{addr}/v1"),
            shared,
            serving,
        }
    }

    /// All that it was asked so far.
    pub fn asked(&self) -> Vec<ProviderRequest> {
        self.shared.asked.lock().expect("no panic").clone()
    }

    /// Lets so many pieces of waiting streams pass.
    pub fn pass_pieces(&self, count: usize) {
        self.shared.pieces.add_permits(count);
    }

    /// Waits until a stream was taken to its end.
    pub async fn stream_ended(&self) {
        let mut ended = self.shared.streams_ended.subscribe();
        let waited = ended.wait_for(|count| *count > 0);
        tokio::time::timeout(Duration::from_secs(20), waited)
            .await
            .expect("the stream is drained")
            .expect("it runs");
    }
}

impl ProviderState {
    fn remember(&self, uri: &Uri, headers: HeaderMap, body: Bytes) -> ProviderRequest {
        let asked = ProviderRequest {
            uri: uri.to_string(),
            headers,
            body,
        };
        let all = &self.asked;
        all.lock().expect("no panic").push(asked.clone());
        asked
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let error = json!({ "error": { "message": message, "type": "server_error", "code": null, "param": null } });
    (status, [("x-provider", "1")], error.to_string()).into_response()
}

/// A completion; the header `x-stand-in` chooses what goes wrong.
async fn chat(
    State(shared): State<ProviderState>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = shared.remember(&uri, headers, body);
    if asked.headers["authorization"] != format!("Bearer {KEY}") {
        return refuse(StatusCode::UNAUTHORIZED, "who are you?");
    }
    let request = asked.json();
    let mode = asked
        .headers
        .get("x-stand-in")
        .map(|it| it.to_str().expect("text"));
    match mode {
        Some("overloaded") => return refuse(StatusCode::TOO_MANY_REQUESTS, "overloaded"),
        Some("hangs up") => {
            let cut = futures::stream::iter([Ok("{\"id\":"), Err(std::io::Error::other("cut"))]);
            return (
                [("content-type", "application/json")],
                Body::from_stream(cut),
            )
                .into_response();
        }
        _ => {}
    }
    if request["stream"] != true {
        let answer = match mode {
            Some("no usage") => ANSWER.replace("\"usage\"", "\"not_usage\""),
            _ => ANSWER.to_owned(),
        };
        return (
            [("content-type", "application/json"), ("x-provider", "1")],
            answer,
        )
            .into_response();
    }
    let tells_usage =
        request["stream_options"]["include_usage"] == true && mode != Some("no usage");
    let pieces = pieces(mode, tells_usage);
    streamed(shared, pieces, mode == Some("waits"))
}

type Piece = Result<String, std::io::Error>;

/// The pieces of a stream, with what goes wrong in it.
fn pieces(mode: Option<&str>, tells_usage: bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = CHUNKS.iter().map(|chunk| Ok((*chunk).to_owned())).collect();
    if mode == Some("error inside") {
        pieces = vec![Ok(
            "data: {\"error\":{\"message\":\"no such deployment\"}}\n\n".to_owned(),
        )];
    } else if mode == Some("breaks off") {
        pieces.truncate(2);
        pieces.push(Err(std::io::Error::other("cut")));
    } else {
        pieces.push(Ok(if tells_usage {
            USAGE.to_owned()
        } else {
            String::new()
        }));
        pieces.push(Ok(DONE.to_owned()));
    }
    pieces
}

/// Piece by piece; one that `waits` needs a permit for each.
fn streamed(shared: ProviderState, pieces: Vec<Piece>, waits: bool) -> Response {
    let gate = shared.clone();
    let stream = futures::stream::iter(pieces)
        .then(move |piece| {
            let gate = gate.clone();
            async move {
                if waits {
                    gate.pieces.acquire().await.expect("open").forget();
                }
                // Otherwise everything would leave in one packet.
                tokio::task::yield_now().await;
                piece
            }
        })
        .chain(futures::stream::once(async move {
            shared.streams_ended.send_modify(|count| *count += 1);
            Ok(String::new())
        }));
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(stream),
    )
        .into_response()
}

async fn embed(
    State(shared): State<ProviderState>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.remember(&uri, headers, body);
    ([("content-type", "application/json")], EMBEDDINGS).into_response()
}

async fn models(
    State(shared): State<ProviderState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<String, Infallible> {
    shared.remember(&uri, headers, Bytes::new());
    Ok(r#"{"object":"list","data":[{"id":"gpt-4","object":"model"}]}"#.to_owned())
}

/// A provider that answers every chat completion with [`ANSWER`] and remembers nothing: to measure what
/// is between it and a client.
pub fn measured() -> Router {
    let answer = async || ([("content-type", "application/json")], ANSWER);
    Router::new().route(CHAT_PATH, post(answer))
}

/// As Dify's Service API answers.
async fn end_user(
    State(shared): State<ProviderState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let asked = shared.remember(&uri, headers, Bytes::new());
    let app = &asked.headers["authorization"];
    match (app.to_str().expect("text"), id.as_str()) {
        ("Bearer app-broken", _) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        ("Bearer app-1", DIFY_ID) => axum::Json(json!({
            "id": id, "tenant_id": "t", "app_id": "a", "type": "service_api",
            "external_user_id": "customer-4821", "name": null, "is_anonymous": false,
            "session_id": "customer-4821",
        }))
        .into_response(),
        _ => (
            StatusCode::NOT_FOUND,
            axum::Json(json!({
                "code": "end_user_not_found", "message": "End user not found.", "status": 404,
            })),
        )
            .into_response(),
    }
}
