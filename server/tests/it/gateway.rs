//! `/v1/*`, between real clients and a stand-in for Dify.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures::{StreamExt, stream};
use ledger::NewSource;
use private_postgres::{Cluster, Durability};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use shared::api::{Outcome, QuarantineReason};
use shared::source::{SourceEntrance, SourceSettings};
use testkit::dify::{DifyStandIn, ReplyStep, Script, events, within};
use testkit::{Answer, World, actor, answer, folder};
use tokio::sync::Notify;

const STREAM_1_12: &str = include_str!("../../../shared/tests/fixtures/chatflow_stream_1_12.sse");
const STREAM_1_16: &str = include_str!("../../../shared/tests/fixtures/chatflow_stream_1_16.sse");
const STREAM_FAILED: &str =
    include_str!("../../../shared/tests/fixtures/chatflow_stream_failed.sse");
const BLOCKING_CHAT: &str =
    include_str!("../../../shared/tests/fixtures/blocking_chat_response.json");
const BLOCKING_WORKFLOW: &str =
    include_str!("../../../shared/tests/fixtures/blocking_workflow_response.json");
const MESSAGE_END: &str = include_str!("../../../shared/tests/fixtures/sse_message_end.json");
pub const NODE_FINISHED: &str =
    include_str!("../../../shared/tests/fixtures/sse_node_finished.json");
pub const WORKFLOW_FINISHED: &str =
    include_str!("../../../shared/tests/fixtures/sse_workflow_finished.json");

const MESSAGE_ID: &str = "9da23599-e713-473b-982c-4328d4f5c78a";
pub const USER: &str = "customer-4821";

/// A world with a Dify behind it: one app, whose model is GPT-4 (30 and 60 points per 1,000 tokens)
/// unless it tells another, such as gpt-4o (10 and 20). A call is expected to cost 90 points.
pub struct Gate {
    pub world: World,
    pub dify: DifyStandIn,
    pub key: String,
}

impl Gate {
    pub async fn new() -> Self {
        Self::over(World::new().await).await
    }

    async fn over(world: World) -> Self {
        let dify = DifyStandIn::start().await;
        world.price("gpt-4o", "10", "20").await;
        world.grant(USER, "1000").await;
        let key = source(&world, "shop", &dify.url, |_| {}).await;
        Self { world, dify, key }
    }

    /// Whose source is not set to how much usually goes in.
    async fn without_settings() -> Self {
        let mut gate = Self::new().await;
        gate.key = source(&gate.world, "plain", &gate.dify.url, |it| {
            it.estimated_input_tokens = None;
        })
        .await;
        gate
    }

    pub fn with_key(&self, method: Method, path: &str) -> RequestBuilder {
        self.world.request(method, path).bearer_auth(&self.key)
    }

    fn chat(&self) -> RequestBuilder {
        self.with_key(Method::POST, "/v1/chat-messages")
            .json(&chat())
    }

    /// Calls, while Dify streams these events as an answer.
    pub async fn hear(&self, request: RequestBuilder, events: &[Value]) {
        let steps = events.iter().map(|event| ReplyStep::Send(data(event)));
        self.dify.will(Script::stream(steps.collect()));
        body(request).await;
    }

    pub async fn user_token(&self, user: &str) -> String {
        let user = user.parse().expect("a user");
        let ledger = self.world.ledger();
        let session = ledger.create_user_session(&user, 600, &actor()).await;
        session.expect("a session").token
    }

    pub async fn balance(&self) -> String {
        self.world.balance(USER).await
    }

    /// When no points are held any more, and these many deliveries are there.
    pub async fn settles(&self, deliveries: usize) {
        let user = USER.parse().expect("a user");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let balance = self.world.ledger().balance(&user).await.expect("a balance");
            if balance.held.is_zero() {
                break;
            }
            assert!(Instant::now() < deadline, "{balance:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.world.deliveries(deliveries).await;
        self.world.verify().await;
    }
}

/// The key of a new gateway source.
async fn source(
    world: &World,
    name: &str,
    url: &str,
    change: impl FnOnce(&mut SourceSettings),
) -> String {
    let mut settings = SourceSettings {
        upstream_url: Some(url.to_owned()),
        model_name: Some("GPT-4".parse().expect("a model")),
        estimated_input_tokens: Some(1000),
        estimated_output_tokens: Some(1000),
        ..SourceSettings::default()
    };
    change(&mut settings);
    let new = NewSource {
        name: name.to_owned(),
        entrance: SourceEntrance::Gateway,
        namespace: None,
        require_signature: false,
        settings,
        upstream_key: Some(format!("app-{name}")),
    };
    let created = world.ledger().create_source(&new, &actor()).await;
    created.expect("a source").key
}

/// An event as one of the message with this id.
fn of_message(id: &str, mut event: Value) -> Value {
    for name in ["id", "message_id"] {
        event[name] = json!(id);
    }
    event
}

fn chat() -> Value {
    json!({ "query": "Hello, you!!", "inputs": {}, "response_mode": "streaming", "user": USER })
}

fn said(text: &str) -> Value {
    json!({
        "event": "message", "message_id": MESSAGE_ID, "conversation_id": "c", "answer": text,
    })
}

pub fn data(event: &Value) -> Bytes {
    format!("data: {event}\n\n").into()
}

pub fn event(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// `message_end` with these tokens.
fn message_end(input: u64, output: u64) -> Value {
    let mut end = event(MESSAGE_END);
    end["metadata"]["usage"]["prompt_tokens"] = json!(input);
    end["metadata"]["usage"]["completion_tokens"] = json!(output);
    end["metadata"]["usage"]["total_tokens"] = json!(input + output);
    end
}

pub async fn send(request: RequestBuilder) -> Response {
    within(request.send()).await.expect("an answer")
}

pub async fn body(request: RequestBuilder) -> Bytes {
    let response = send(request).await;
    assert_eq!(response.status(), 200);
    within(response.bytes()).await.expect("a body")
}

/// Code and status of Dify's envelope.
#[track_caller]
pub fn denial(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.body["status"], answer.status.as_u16(), "{answer:?}");
    let message = answer.body["message"].as_str().expect("a message");
    assert!(!message.is_empty());
    let code = answer.body["code"].as_str().expect("a code");
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn a_stream_passes_byte_for_byte_and_is_charged_once() {
    let gate = Gate::new().await;
    for stream in [STREAM_1_12, STREAM_1_16] {
        gate.dify.will(Script::recorded(stream));
        let request = gate
            .chat()
            .header("cookie", "other=1")
            .header("x-trace-id", "t1");
        let response = send(request).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(headers["x-version"], "1.16.0");
        assert_eq!(response.bytes().await.expect("a body"), stream);
        // The end of the stream came after the charge: 100 tokens in, 50 out, once.
        assert_eq!(gate.balance().await, "998");
    }
    let asked = gate.dify.last_asked();
    assert_eq!(asked.address, "/v1/chat-messages");
    assert_eq!(asked.headers["authorization"], "Bearer app-shop");
    assert_eq!(asked.headers["accept-encoding"], "identity");
    assert_eq!(asked.headers["x-trace-id"], "t1");
    assert!(!asked.headers.contains_key("cookie"));
    assert_eq!(asked.body, chat().to_string());
    gate.settles(2).await;
    let outcomes = gate.world.deliveries(2).await;
    assert_eq!(outcomes[0].outcome, Outcome::Charged);
    assert_eq!(outcomes[1].outcome, Outcome::Duplicate);
}

#[tokio::test]
async fn each_event_arrives_before_the_next_one_is_sent() {
    let gate = Gate::new().await;
    let go = Arc::new(Notify::new());
    let steps = events(STREAM_1_16).flat_map(|event| {
        let wait = ReplyStep::Wait(Arc::clone(&go));
        [ReplyStep::Send(event), wait]
    });
    gate.dify.will(Script::stream(steps.collect()));
    let mut chunks = send(gate.chat()).await.bytes_stream();
    for event in events(STREAM_1_16) {
        let chunk = within(chunks.next())
            .await
            .expect("an event")
            .expect("bytes");
        assert_eq!(chunk, event);
        // The points of the call are held meanwhile.
        let user = USER.parse().expect("a user");
        let balance = gate.world.ledger().balance(&user).await.expect("a balance");
        assert_eq!(balance.held.to_string(), "90");
        go.notify_one();
    }
    assert!(within(chunks.next()).await.is_none());
    gate.settles(1).await;
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused_in_the_words_of_dify_before_it_is_asked() {
    let gate = Gate::new().await;
    let poor = json!({ "query": "hi", "inputs": {}, "user": "poor" });
    for path in [
        "chat-messages",
        "completion-messages",
        "workflows/run",
        "workflows/7c3e33d4/run",
        "chat%2Dmessages",
    ] {
        let request = gate.with_key(Method::POST, &format!("/v1/{path}"));
        let refused = answer(request.json(&poor)).await;
        assert_eq!(denial(&refused), (400, "provider_quota_exceeded"), "{path}");
        let message = refused.body["message"].as_str().expect("text");
        assert!(
            message.contains("90") && message.contains("top up"),
            "{message}"
        );
    }
    let chinese = gate.chat().json(&poor).header("accept-language", "zh-CN");
    let refused = answer(chinese).await;
    let message = refused.body["message"].as_str().expect("text");
    assert!(message.contains("积分不足"), "{message}");
    assert!(gate.dify.asked().is_empty());
}

#[tokio::test]
async fn a_failed_chatflow_without_message_end_is_charged_by_its_nodes() {
    let gate = Gate::new().await;
    gate.dify.will(Script::recorded(STREAM_FAILED));
    assert_eq!(body(gate.chat()).await, STREAM_FAILED);
    assert_eq!(gate.balance().await, "998");
    gate.settles(1).await;
}

#[tokio::test]
async fn a_basic_app_is_charged_with_the_model_of_its_source() {
    let gate = Gate::new().await;
    gate.hear(gate.chat(), &[said("Bonjour"), event(MESSAGE_END)])
        .await;
    assert_eq!(gate.balance().await, "961.33");
    gate.settles(1).await;
}

#[tokio::test]
async fn an_agent_is_charged_by_the_sum_that_it_tells() {
    let gate = Gate::new().await;
    let thought = json!({ "event": "agent_thought", "message_id": MESSAGE_ID, "tool": "weather" });
    let spoken = json!({ "event": "agent_message", "message_id": MESSAGE_ID, "answer": "21 °C" });
    let events = [thought.clone(), spoken, thought, event(MESSAGE_END)];
    gate.hear(gate.chat(), &events).await;
    assert_eq!(gate.balance().await, "961.33");
    gate.settles(1).await;
}

#[tokio::test]
async fn a_stopped_stream_is_charged_by_an_estimate() {
    let gate = Gate::new().await;
    // Dify counts nothing when it is stopped: 12 characters asked, 400 answered.
    let events = [said(&"word".repeat(100)), message_end(0, 0)];
    gate.hear(gate.chat(), &events).await;
    // As much in as the source is set to, because nothing was told before, and 100 out.
    assert_eq!(gate.balance().await, "964");
    gate.settles(1).await;
}

#[tokio::test]
async fn a_stopped_stream_costs_what_usually_goes_in() {
    let gate = Gate::without_settings().await;
    let end = of_message("earlier", message_end(500, 10));
    gate.hear(gate.chat(), &[end]).await;
    assert_eq!(gate.balance().await, "984.4");
    let events = [said(&"word".repeat(100)), message_end(0, 0)];
    gate.hear(gate.chat(), &events).await;
    // 500 in, as before, and 100 out.
    assert_eq!(gate.balance().await, "963.4");
    gate.settles(2).await;
}

#[tokio::test]
async fn estimates_do_not_raise_each_other() {
    let gate = Gate::without_settings().await;
    for (number, asked, balance) in [
        (1, "word".repeat(400), "987.94"),
        // What the long one was guessed to be is nothing that was told.
        (2, "word".to_owned(), "987.85"),
        (3, "word".to_owned(), "987.76"),
    ] {
        let id = format!("untold-{number}");
        let events = [said("word"), message_end(0, 0)].map(|event| of_message(&id, event));
        let call = gate
            .with_key(Method::POST, "/v1/chat-messages")
            .json(&json!({
                "inputs": {}, "query": asked, "response_mode": "streaming", "user": USER,
            }));
        gate.hear(call, &events).await;
        assert_eq!(gate.balance().await, balance);
    }
    gate.settles(3).await;
}

#[tokio::test]
async fn an_answer_of_moderation_or_an_annotation_is_free() {
    let gate = Gate::new().await;
    let mut end = message_end(0, 0);
    for name in ["prompt_unit_price", "completion_unit_price"] {
        end["metadata"]["usage"][name] = json!("0E-7");
    }
    end["metadata"]["usage"]["latency"] = json!(0.0);
    gate.hear(gate.chat(), &[said("I may not say that."), end])
        .await;
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "1000");
    assert_eq!(gate.world.deliveries(1).await[0].outcome, Outcome::Charged);
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_what_runs_on() {
    let gate = Gate::new().await;
    let go = Arc::new(Notify::new());
    let mut recorded = events(STREAM_1_16).map(ReplyStep::Send);
    let mut steps: Vec<ReplyStep> = recorded.by_ref().take(3).collect();
    steps.push(ReplyStep::Wait(Arc::clone(&go)));
    steps.extend(recorded);
    gate.dify.will(Script::stream(steps));
    let mut chunks = send(gate.chat()).await.bytes_stream();
    within(chunks.next())
        .await
        .expect("an event")
        .expect("bytes");
    drop(chunks);
    go.notify_one();
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "998");
    assert_eq!(gate.dify.abandoned(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_a_blocking_call_pays_for_it() {
    let gate = Gate::new().await;
    let go = Arc::new(Notify::new());
    let mut script = Script::json(BLOCKING_CHAT);
    script.delay = Some(Arc::clone(&go));
    gate.dify.will(script);
    let call = tokio::spawn(gate.chat().send());
    gate.dify.has_received(chat().to_string().len()).await;
    call.abort();
    drop(call.await);
    go.notify_one();
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "961.33");
}

#[tokio::test]
async fn a_call_without_cost_ends_with_its_client() {
    let gate = Gate::new().await;
    gate.dify.will(Script::stream(vec![
        ReplyStep::Send("data: audio\n\n".into()),
        ReplyStep::Silence,
    ]));
    let request = gate
        .with_key(Method::POST, "/v1/text-to-audio")
        .json(&chat());
    let mut chunks = send(request).await.bytes_stream();
    within(chunks.next())
        .await
        .expect("a chunk")
        .expect("bytes");
    drop(chunks);
    gate.dify.was_abandoned().await;
}

#[tokio::test]
async fn a_paused_run_is_charged_for_what_came_after() {
    let gate = Gate::new().await;
    let paused = |total: u64| {
        json!({
            "event": "workflow_paused", "workflow_run_id": "run",
            "data": { "id": "run", "total_tokens": total },
        })
    };
    let finished = |total: u64| {
        let mut finished = event(WORKFLOW_FINISHED);
        finished["workflow_run_id"] = json!("run");
        finished["data"]["total_tokens"] = json!(total);
        finished
    };
    // Only totals are told, of the whole run: 1,000 tokens and then 500 more.
    let start = gate
        .with_key(Method::POST, "/v1/workflows/run")
        .json(&chat());
    gate.hear(start, &[paused(1000)]).await;
    assert_eq!(gate.balance().await, "970");
    let resume = format!("/v1/workflow/run/events?user={USER}");
    let resume = || gate.with_key(Method::GET, &resume);
    gate.hear(resume(), &[finished(1500)]).await;
    assert_eq!(gate.balance().await, "955");
    // Asked again, it tells the same again.
    gate.hear(resume(), &[finished(1500)]).await;
    assert_eq!(gate.balance().await, "955");
    gate.settles(3).await;
}

#[tokio::test]
async fn a_paused_run_whose_nodes_are_told_is_charged_node_by_node() {
    let gate = Gate::new().await;
    let node = |id: &str| {
        let mut node = event(NODE_FINISHED);
        node["data"]["id"] = json!(id);
        node
    };
    let start = gate
        .with_key(Method::POST, "/v1/workflows/run")
        .json(&chat());
    gate.hear(start, &[node("n1")]).await;
    assert_eq!(gate.balance().await, "998");
    // The continuation may tell again what is over.
    let resume = format!("/v1/workflow/run/events?user={USER}");
    let resumed = gate.with_key(Method::GET, &resume);
    let events = [node("n1"), node("n2"), event(WORKFLOW_FINISHED)];
    gate.hear(resumed, &events).await;
    assert_eq!(gate.balance().await, "996");
    gate.settles(2).await;
}

#[tokio::test]
async fn blocking_calls_are_charged() {
    let gate = Gate::new().await;
    gate.dify.will(Script::json(BLOCKING_CHAT));
    assert_eq!(body(gate.chat()).await, BLOCKING_CHAT);
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "961.33");
    // A workflow tells a total only: all of it counts as input.
    gate.dify.will(Script::json(BLOCKING_WORKFLOW));
    let request = gate.with_key(Method::POST, "/v1/workflows/run");
    assert_eq!(body(request.json(&chat())).await, BLOCKING_WORKFLOW);
    gate.settles(2).await;
    assert_eq!(gate.balance().await, "956.83");
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_be_read_waits_for_an_administrator() {
    let gate = Gate::new().await;
    let mut huge = json!({ "a": { "message_id": MESSAGE_ID } });
    for part in 0..30 {
        huge[format!("part {part}")] = json!("x".repeat(200_000));
    }
    gate.dify.will(Script::json(huge.to_string()));
    assert_eq!(body(gate.chat()).await, huge.to_string());
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "1000");
    let waiting = gate.world.ledger().quarantine(None, 10).await;
    let waiting = waiting.expect("a page").items;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].reason, QuarantineReason::Unreadable);
    assert_eq!(waiting[0].source, "shop");
    for known in [USER, MESSAGE_ID] {
        assert!(waiting[0].body.contains(known), "{}", waiting[0].body);
    }
}

#[tokio::test]
async fn when_dify_is_down_nothing_stays_held() {
    let gate = Gate::new().await;
    let key = source(&gate.world, "down", "http://127.0.0.1:1/v1", |_| {}).await;
    let request = gate.world.request(Method::POST, "/v1/chat-messages");
    let down = answer(request.bearer_auth(&key).json(&chat())).await;
    assert_eq!(denial(&down), (502, "bad_gateway"));
    gate.settles(0).await;
}

#[tokio::test]
async fn what_dify_refuses_passes_and_is_free() {
    let gate = Gate::new().await;
    let refusal = r#"{"code": "app_unavailable", "message": "no", "status": 400}"#;
    gate.dify.will(Script::json(refusal).status(400));
    let response = send(gate.chat()).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.bytes().await.expect("a body"), refusal);
    gate.settles(0).await;
    // Where Tollgate needs not know the user, it is Dify that misses it.
    let nobody = gate.with_key(Method::GET, "/v1/conversations");
    assert_eq!(send(nobody).await.status(), 200);
}

#[tokio::test]
async fn a_charged_call_names_its_user() {
    let gate = Gate::new().await;
    for (body, expected) in [
        (r#"{"query": "hi"}"#, (400, "invalid_param")),
        (r#"{"query": "hi", "user": null}"#, (400, "invalid_param")),
        (r#"{"query": "hi", "user": " "}"#, (400, "invalid_param")),
        (r#"{"query": "hi", "user": 1}"#, (400, "invalid_param")),
        ("[]", (400, "bad_request")),
        ("", (400, "bad_request")),
    ] {
        let request = gate.with_key(Method::POST, "/v1/chat-messages");
        assert_eq!(
            denial(&answer(request.body(body)).await),
            expected,
            "{body}"
        );
    }
    assert!(gate.dify.asked().is_empty());
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_charged_as_far_as_it_came_and_breaks_off_for_the_client() {
    let gate = Gate::new().await;
    let mut steps: Vec<ReplyStep> = events(STREAM_1_16).take(6).map(ReplyStep::Send).collect();
    steps.push(ReplyStep::Break);
    gate.dify.will(Script::stream(steps));
    let chunks: Vec<_> = within(send(gate.chat()).await.bytes_stream().collect()).await;
    assert!(chunks.last().expect("chunks").is_err(), "{chunks:?}");
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "998");
}

#[tokio::test]
async fn a_dify_that_falls_silent_is_given_up() {
    let gate = Gate::over(World::with(|config| config.upstream_silence_seconds = 1).await).await;
    let steps = vec![
        ReplyStep::Send(data(&said(&"word".repeat(100)))),
        ReplyStep::Silence,
    ];
    gate.dify.will(Script::stream(steps));
    let chunks: Vec<_> = within(send(gate.chat()).await.bytes_stream().collect()).await;
    assert!(chunks.last().expect("chunks").is_err());
    gate.dify.was_abandoned().await;
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "964");
}

#[tokio::test]
async fn a_slow_client_gets_everything() {
    let gate = Gate::over(World::with(|config| config.upstream_silence_seconds = 1).await).await;
    // More than the sockets between them hold, so that Dify has to wait for the client.
    let piece = data(&said(&"x".repeat(60_000)));
    let mut steps: Vec<ReplyStep> = (0..400).map(|_| ReplyStep::Send(piece.clone())).collect();
    steps.push(ReplyStep::Send(data(&message_end(100, 100))));
    gate.dify.will(Script::stream(steps));
    let mut chunks = send(gate.chat()).await.bytes_stream();
    let mut received = 0;
    let mut next_rest = 0;
    while let Some(chunk) = within(chunks.next()).await {
        received += chunk.expect("an unbroken stream").len();
        if received >= next_rest {
            // Longer than Dify may be silent: the silence is not its own.
            next_rest += 12_000_000;
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
    }
    let end = data(&message_end(100, 100));
    assert_eq!(received, piece.len() * 400 + end.len());
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "991");
}

#[tokio::test]
async fn uploads_stream_through() {
    let gate = Gate::new().await;
    let go = Arc::new(Notify::new());
    let piece = Bytes::from(vec![b'x'; 1024 * 1024]);
    let pieces = stream::unfold(0, {
        let (go, piece) = (Arc::clone(&go), piece.clone());
        move |count| {
            let (go, piece) = (Arc::clone(&go), piece.clone());
            async move {
                if count == 20 {
                    go.notified().await;
                }
                (count < 40).then(|| (Ok::<_, std::io::Error>(piece), count + 1))
            }
        }
    });
    let request = gate
        .with_key(Method::POST, "/v1/files/upload")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(reqwest::Body::wrap_stream(pieces));
    let upload = tokio::spawn(request.send());
    // Half of it is there before the rest has been sent.
    gate.dify.has_received(20 * piece.len()).await;
    go.notify_one();
    let response = within(upload).await.expect("joined").expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(gate.dify.last_asked().body.len(), 40 * piece.len());
}

#[tokio::test]
async fn a_user_token_speaks_for_its_user_only() {
    let gate = Gate::new().await;
    let token = gate.user_token(USER).await;
    let request = |method, path: &str| gate.world.request(method, path).bearer_auth(&token);
    let user_of = |body: &Bytes| {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        body["user"].clone()
    };

    // JSON: filled in, or as it is.
    gate.dify.will(Script::recorded(STREAM_1_16));
    let absent = request(Method::POST, "/v1/chat-messages").json(&json!({ "query": "hi" }));
    body(absent).await;
    let asked = gate.dify.last_asked();
    assert_eq!(user_of(&asked.body), USER);
    assert_eq!(asked.headers["authorization"], "Bearer app-shop");
    assert_eq!(gate.balance().await, "998");
    let own = request(Method::POST, "/v1/messages/m/feedbacks").json(&json!({ "user": USER }));
    send(own).await;
    assert_eq!(
        gate.dify.last_asked().body,
        json!({ "user": USER }).to_string()
    );
    send(request(Method::DELETE, "/v1/conversations/c")).await;
    assert_eq!(user_of(&gate.dify.last_asked().body), USER);

    // Query.
    send(request(Method::GET, "/v1/messages?limit=1")).await;
    let filled = format!("/v1/messages?limit=1&user={USER}");
    assert_eq!(gate.dify.last_asked().address, filled);

    // A form: in front, where Dify looks first, and the rest as it was.
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nA\r\n--b--\r\n";
    let upload = request(Method::POST, "/v1/files/upload")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form);
    send(upload).await;
    let asked = gate.dify.last_asked();
    let sent = std::str::from_utf8(&asked.body).expect("UTF-8");
    let first = format!("--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\n{USER}\r\n");
    assert!(sent.starts_with(&first) && sent.ends_with(form), "{sent}");
    assert_eq!(asked.headers["content-length"], sent.len().to_string());

    // Somebody else, and what belongs to nobody in particular.
    let count = gate.dify.asked().len();
    let other = json!({ "query": "hi", "user": "other" });
    for refused in [
        request(Method::POST, "/v1/chat-messages").json(&other),
        request(Method::POST, "/v1/messages/m/feedbacks").json(&other),
        request(Method::POST, "/v1/chat-messages?user=other").json(&chat()),
        request(Method::GET, "/v1/messages?user=other"),
        request(Method::GET, "/v1/messages?%75ser=other"),
        request(Method::GET, "/v1/workflows/logs"),
        request(Method::GET, "/v1/apps/annotations"),
    ] {
        assert_eq!(denial(&answer(refused).await), (403, "forbidden"));
    }
    let text = request(Method::POST, "/v1/messages/m/feedbacks").body("user=other");
    assert_eq!(denial(&answer(text).await), (415, "unsupported_media_type"));
    assert_eq!(gate.dify.asked().len(), count);
    gate.settles(1).await;
}

#[tokio::test]
async fn of_several_apps_the_caller_names_one() {
    let gate = Gate::new().await;
    let other = DifyStandIn::start().await;
    let key = source(&gate.world, "bank", &other.url, |_| {}).await;
    let token = gate.user_token(USER).await;
    let get = |path: &str, bearer: &str| gate.world.request(Method::GET, path).bearer_auth(bearer);

    let unnamed = answer(get("/v1/parameters", &token)).await;
    assert_eq!(denial(&unnamed), (400, "invalid_param"));
    send(get("/v1/parameters", &token).header("x-tollgate-app", "bank")).await;
    assert_eq!(
        other.last_asked().headers["authorization"],
        "Bearer app-bank"
    );
    assert!(!other.last_asked().headers.contains_key("x-tollgate-app"));
    send(get("/apps/bank/v1/parameters?x=%20y", &token)).await;
    let address = format!("/v1/parameters?x=%20y&user={USER}");
    assert_eq!(other.last_asked().address, address);
    send(get("/v1/parameters", &key)).await;
    assert_eq!(other.asked().len(), 3);
    for (path, bearer) in [
        ("/apps/none/v1/parameters", &token),
        ("/apps/shop/v1/parameters", &key),
    ] {
        assert_eq!(denial(&answer(get(path, bearer)).await), (404, "not_found"));
    }
    assert!(gate.dify.asked().is_empty());
}

#[tokio::test]
async fn only_keys_of_the_gateway_and_users_open_it() {
    let gate = Gate::new().await;
    let get = || gate.world.request(Method::GET, "/v1/parameters");
    let nobody = answer(get()).await;
    assert_eq!(denial(&nobody), (401, "unauthorized"));
    assert_eq!(nobody.headers["access-control-allow-origin"], "*");
    let unknown = answer(get().bearer_auth("tg_gw_unknown")).await;
    assert_eq!(denial(&unknown), (401, "unauthorized"));
    for key in [&gate.world.admin_key, &gate.world.webhook_key] {
        let refused = answer(get().bearer_auth(key)).await;
        assert_eq!(denial(&refused), (403, "forbidden"));
    }
    let cookie = gate.world.sign_in("root").await;
    let refused = answer(get().header("cookie", cookie)).await;
    assert_eq!(denial(&refused), (403, "forbidden"));
    assert!(gate.dify.asked().is_empty());
    // A page of another site asks first, and has no key then.
    let preflight = gate.world.request(Method::OPTIONS, "/v1/chat-messages");
    let preflight = send(preflight).await;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_source_may_only_protect() {
    let gate = Gate::new().await;
    let key = source(&gate.world, "guarded", &gate.dify.url, |settings| {
        settings.is_protecting_only = true;
    })
    .await;
    let call = |user: &str| {
        let request = gate.world.request(Method::POST, "/v1/chat-messages");
        let body = json!({ "query": "hi", "user": user });
        request.bearer_auth(&key).json(&body)
    };
    let refused = answer(call("poor")).await;
    assert_eq!(denial(&refused), (400, "provider_quota_exceeded"));
    gate.dify.will(Script::recorded(STREAM_1_16));
    assert_eq!(body(call(USER)).await, STREAM_1_16);
    gate.settles(0).await;
    assert_eq!(gate.balance().await, "1000");
}

#[tokio::test]
async fn what_cannot_be_known_is_refused_unless_the_source_says_otherwise() {
    let gate = Gate::new().await;
    for (is_fail_open, name) in [(false, "closed"), (true, "open")] {
        let key = source(&gate.world, name, &gate.dify.url, |settings| {
            settings.model_name = Some("unpriced".parse().expect("a model"));
            settings.is_fail_open = is_fail_open;
        })
        .await;
        let request = gate.world.request(Method::POST, "/v1/chat-messages");
        let request = request.bearer_auth(&key).json(&chat());
        if is_fail_open {
            gate.dify.will(Script::recorded(STREAM_1_16));
            assert_eq!(body(request).await, STREAM_1_16);
        } else {
            let refused = answer(request).await;
            assert_eq!(denial(&refused), (400, "model_currently_not_support"));
        }
    }
    // What passed is charged all the same.
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "998");
}

#[tokio::test]
async fn while_postgres_is_away_calls_wait_for_their_charge() {
    let data_dir = folder("gateway-away");
    let start = || Cluster::start_with(&data_dir, Durability::Disposable);
    let cluster = start().await.expect("a cluster");
    cluster.create_database("away").await.expect("a database");
    let socket = cluster.socket_folder().display().to_string();
    let url = format!("postgres:///away?user=tollgate&host={socket}");
    let world = World::with(|config| config.database_url = Some(url)).await;
    let gate = Gate::over(world).await;
    let open = source(&gate.world, "open", &gate.dify.url, |settings| {
        settings.is_fail_open = true;
    })
    .await;
    let call = |key: &str| {
        let request = gate.world.request(Method::POST, "/v1/chat-messages");
        request.bearer_auth(key).json(&chat())
    };
    // Both keys have been seen before.
    for key in [&gate.key, &open] {
        let request = gate.world.request(Method::GET, "/v1/parameters");
        send(request.bearer_auth(key)).await;
    }
    let files = cluster.folder().to_owned();
    cluster.leave().await;

    let closed = answer(call(&gate.key)).await;
    assert_eq!(denial(&closed), (503, "service_unavailable"));
    gate.dify.will(Script::recorded(STREAM_1_16));
    assert_eq!(body(call(&open)).await, STREAM_1_16);

    let cluster = start().await.expect("the cluster again");
    gate.settles(1).await;
    assert_eq!(gate.balance().await, "998");
    drop(gate);
    cluster.leave().await;
    std::fs::remove_dir_all(files).expect("removed");
    drop(std::fs::remove_dir_all(data_dir));
}

#[tokio::test]
async fn a_server_that_stops_charges_what_it_saw() {
    let gate = Gate::new().await;
    let mut steps: Vec<ReplyStep> = events(STREAM_1_16).take(6).map(ReplyStep::Send).collect();
    steps.push(ReplyStep::Silence);
    gate.dify.will(Script::stream(steps));
    let mut chunks = send(gate.chat()).await.bytes_stream();
    within(chunks.next())
        .await
        .expect("an event")
        .expect("bytes");
    let Gate { world, dify, .. } = gate;
    within(world.server.stop()).await.expect("stopped");
    dify.was_abandoned().await;

    let world = World::with(|config| config.database_url = Some(world.database_url)).await;
    assert_eq!(world.balance(USER).await, "998");
    world.verify().await;
}

#[tokio::test]
async fn wherever_a_stream_is_cut_the_bytes_are_the_same_and_the_charge_is_right() {
    let gate = Gate::new().await;
    // The same cuts in every run.
    let mut random = fastrand::Rng::with_seed(1);
    let calls = 60;
    for number in 0..calls {
        let recorded = [STREAM_1_12, STREAM_1_16, STREAM_FAILED][number % 3];
        let ids = [MESSAGE_ID, "fb47b2e6-5e43-4f90", "5f1d0c5e-2d5b-4c57"];
        let stream = ids.iter().fold(recorded.to_owned(), |stream, id| {
            stream.replace(id, &format!("{number}-{id}"))
        });
        let mut rest = Bytes::from(stream.clone());
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let piece = rest.split_to(random.usize(1..=300).min(rest.len()));
            steps.push(ReplyStep::Send(piece));
            if random.u8(..8) == 0 {
                steps.push(ReplyStep::Pause(Duration::from_millis(1)));
            }
        }
        gate.dify.will(Script::stream(steps));
        assert_eq!(body(gate.chat()).await, stream);
    }
    gate.settles(calls).await;
    assert_eq!(gate.balance().await, (1000 - 2 * calls).to_string());
}
