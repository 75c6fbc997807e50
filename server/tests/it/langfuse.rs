//! Traces, as Dify's Monitoring sends them to Langfuse.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::NewSource;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use server::http::parties::langfuse::public_key;
use shared::api::{LiveEvent, Outcome};
use shared::source::{SourceEntrance, SourceSettings};
use testkit::{Answer, World, actor, answer};

const V2: &str =
    include_str!("../../../shared/tests/fixtures/langfuse/langfuse_sdk_2.51_capture.jsonl");
const V4: &str =
    include_str!("../../../shared/tests/fixtures/langfuse/langfuse_sdk_4.2.0_capture.jsonl");

const MESSAGE: &str = "9da23599-e713-473b-982c-4328d4f5c78a";
const RUN: &str = "fb47b2e6-5e43-4f90-be01-d5c5a088d156";

/// A source of traces, as Dify is told it.
pub struct Traces<'a> {
    world: &'a World,
    pub public_key: String,
    pub secret_key: String,
}

impl<'a> Traces<'a> {
    pub async fn new(world: &'a World) -> Self {
        Self::of(world, "langfuse", None).await
    }

    async fn of(world: &'a World, name: &str, namespace: Option<&str>) -> Self {
        let source = NewSource {
            name: name.to_owned(),
            entrance: SourceEntrance::Langfuse,
            namespace: namespace.map(str::to_owned),
            require_signature: false,
            settings: SourceSettings::default(),
            upstream_key: None,
        };
        let created = world.ledger().create_source(&source, &actor()).await;
        let created = created.expect("a source");
        world.price("gpt-4o", "10", "20").await;
        Self {
            world,
            public_key: public_key(created.id),
            secret_key: created.key,
        }
    }

    /// What Dify is told as "host".
    pub fn host(&self) -> String {
        self.world.url("/langfuse")
    }

    fn authorization(&self) -> String {
        let pair = format!("{}:{}", self.public_key, self.secret_key);
        format!("Basic {}", STANDARD.encode(pair))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.world.request(method, path);
        request.header("authorization", self.authorization())
    }

    async fn send(&self, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, "/langfuse/api/public/ingestion");
        answer(request.body(body)).await
    }

    /// Sends events, each of which is taken in.
    async fn tell(&self, events: &[Value]) {
        let answer = self.send(json!({ "batch": events }).to_string()).await;
        let ids: Vec<Value> = events
            .iter()
            .map(|event| json!({ "id": event["id"], "status": 201 }))
            .collect();
        assert_eq!(answer.status, 207, "{answer:?}");
        assert_eq!(answer.body, json!({ "successes": ids, "errors": [] }));
    }

    /// What became of the traces so far, of which there are `count`.
    pub async fn outcomes(&self, count: usize) -> Vec<(Outcome, u64, String)> {
        let deliveries = self.world.deliveries(count).await;
        let told = |event: &LiveEvent| {
            let tokens = event.input_tokens + event.output_tokens;
            let user = event.user_id.clone().unwrap_or_default();
            (event.outcome, tokens, user)
        };
        deliveries.iter().map(told).collect()
    }
}

fn event(kind: &str, body: &Value) -> Value {
    json!({ "id": uuid(), "type": kind, "timestamp": "2026-07-23T05:00:02.3+00:00", "body": body })
}

fn uuid() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("event-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn trace(id: &str, run: Option<&str>, user: &str, total: Option<u64>) -> Value {
    event(
        "trace-create",
        &json!({ "id": id, "name": "message", "userId": user, "tags": ["message"],
            "metadata": { "workflow_run_id": run, "message_id": run.is_none().then_some(id), "total_tokens": total } }),
    )
}

fn call(trace: &str, run: Option<&str>, id: &str, input: u64, output: u64) -> Value {
    let node = run.is_some().then_some(id);
    event(
        "generation-create",
        &json!({ "id": id, "traceId": trace, "name": "llm", "model": "gpt-4o", "output": "hello",
            "usage": { "input": input, "output": output, "total": input + output, "unit": "TOKENS" },
            "metadata": { "workflow_run_id": run, "node_execution_id": node } }),
    )
}

/// Makes everything that waits for its other parts as old as it can get.
async fn let_time_pass(world: &World) {
    world
        .sql(
            "update trace_part set received_at = received_at - interval '11 minutes';
             update trace set due_at = now(), revision = revision + 1",
        )
        .await;
}

#[tokio::test]
async fn both_captures_replayed_byte_for_byte_are_charged_once() {
    for (capture, host) in [(V2, "/langfuse"), (V4, "")] {
        let world = World::new().await;
        let traces = Traces::new(&world).await;
        for round in 0..2 {
            for line in capture.lines() {
                let recorded: Value = serde_json::from_str(line).expect("a request");
                let text = |name: &str| recorded[name].as_str().expect("text").to_owned();
                let method = text("method").parse().expect("a method");
                let path = format!("{host}{}", text("path"));
                let mut request = traces.request(method, &path);
                for (name, value) in recorded["headers"].as_object().expect("headers") {
                    let own = ["Host", "Authorization", "Content-Length", "Connection"];
                    if !own.contains(&name.as_str()) {
                        request = request.header(name, value.as_str().expect("text"));
                    }
                }
                let answer = answer(request.body(text("body"))).await;
                if text("method") == "GET" {
                    assert_eq!(answer.status, 200);
                    let project = &answer.body["data"][0];
                    assert_eq!(project["name"], "langfuse");
                    assert!(project["id"].is_string() && project["organization"]["id"].is_string());
                } else {
                    assert_eq!(answer.status, 207, "{answer:?}");
                    assert_eq!(answer.body["errors"], json!([]));
                }
            }
            // 1,033 × 0.01 + 128 × 0.02
            let charged = (Outcome::Charged, 1161, "user-123".to_owned());
            assert_eq!(traces.outcomes(1).await, [charged], "round {round}");
        }
        assert_eq!(world.balance("user-123").await, "-12.89");
        world.verify().await;
    }
}

#[tokio::test]
async fn a_chatflow_comes_in_any_order_and_in_any_requests_and_is_one_message() {
    let events = [
        trace(MESSAGE, Some(RUN), "u", Some(330)),
        call(MESSAGE, Some(RUN), "n1", 100, 10),
        call(MESSAGE, Some(RUN), "n2", 100, 10),
        call(MESSAGE, Some(RUN), "n3", 100, 10),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let world = World::new().await;
        let traces = Traces::new(&world).await;
        for place in order {
            traces.tell(&[events[place].clone()]).await;
        }
        // Everything once more, in one request.
        traces.tell(&events).await;
        let charged = (Outcome::Charged, 330, "u".to_owned());
        assert_eq!(traces.outcomes(1).await, [charged]);
        assert_eq!(world.balance("u").await, "-3.6");
        let history = world.get("/api/user/points/history?userId=u").await;
        let entry = &history.data()["items"][0];
        assert_eq!(entry["consumption"]["messageId"], MESSAGE, "{entry}");
        world.verify().await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_charged_by_whoever_comes_next() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    traces
        .tell(&[call(MESSAGE, Some(RUN), "n1", 100, 10)])
        .await;
    let stored = world.database_url.clone();
    let (public_key, secret_key) = (traces.public_key.clone(), traces.secret_key.clone());
    world.server.stop().await.expect("stopped");
    let next = World::on(stored).await;
    let traces = Traces {
        world: &next,
        public_key,
        secret_key,
    };
    traces
        .tell(&[trace(MESSAGE, Some(RUN), "u", Some(110))])
        .await;
    let charged = (Outcome::Charged, 110, "u".to_owned());
    assert_eq!(traces.outcomes(1).await, [charged]);
    next.verify().await;
}

#[tokio::test]
async fn two_installations_have_messages_of_their_own() {
    let world = World::new().await;
    let one = Traces::new(&world).await;
    let other = Traces::of(&world, "other", Some("other")).await;
    one.tell(&[trace(MESSAGE, None, "ann", None)]).await;
    other.tell(&[call(MESSAGE, None, "g", 100, 0)]).await;
    other.tell(&[trace(MESSAGE, None, "bob", None)]).await;
    let charged = (Outcome::Charged, 100, "bob".to_owned());
    assert_eq!(one.outcomes(1).await, [charged]);
    one.tell(&[call(MESSAGE, None, "g", 200, 0)]).await;
    one.outcomes(2).await;
    assert_eq!(world.balance("ann").await, "-2");
    assert_eq!(world.balance("bob").await, "-1");
    world.verify().await;
}

#[tokio::test]
async fn only_the_keys_of_one_source_of_traces_open() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    let other = Traces::of(&world, "other", None).await;
    let mine = traces.authorization();
    let basic = |public: &str, secret: &str| {
        format!("Basic {}", STANDARD.encode(format!("{public}:{secret}")))
    };
    let crossed = basic(&other.public_key, &traces.secret_key);
    let admin = basic(&traces.public_key, &world.admin_key);
    let webhook = basic(&traces.public_key, &world.webhook_key);
    let bearer = format!("Bearer {}", traces.secret_key);
    for (authorization, status) in [
        (mine.as_str(), 200),
        (&crossed, 401),
        (&admin, 401),
        (&webhook, 401),
        (&bearer, 401),
        ("Basic !", 401),
    ] {
        for (method, path) in [
            (Method::GET, "/langfuse/api/public/projects"),
            (Method::POST, "/langfuse/api/public/ingestion"),
        ] {
            let status = match method {
                Method::POST if status == 200 => 207,
                _ => status,
            };
            let request = world.request(method, path).body(r#"{"batch":[]}"#);
            let told = answer(request.header("authorization", authorization)).await;
            assert_eq!(told.status, status, "{authorization} {told:?}");
            if status == 401 {
                assert!(told.body["message"].is_string(), "{told:?}");
                assert_eq!(told.headers["www-authenticate"], "Basic");
            }
        }
    }
    let elsewhere = world.request(Method::POST, "/api/dify/webhook");
    let elsewhere = answer(elsewhere.bearer_auth(&traces.secret_key).body("{}")).await;
    assert_eq!(elsewhere.refusal().1, "wrong_scope");
    let unknown = answer(traces.request(Method::GET, "/langfuse/api/public/traces")).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_bad_event_spoils_no_other_and_is_kept() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    let mut bad = call(MESSAGE, None, "g", 1, 1);
    bad["body"]["usage"]["input"] = (-1).into();
    let good = [
        trace(MESSAGE, None, "u", None),
        call(MESSAGE, None, "g", 1, 1),
    ];
    let ignored = event("score-create", &json!({ "id": "s" }));
    let batch = json!({ "batch": [good[0], bad, ignored, good[1]] });
    let told = traces.send(batch.to_string()).await;
    assert_eq!(told.status, 207);
    assert_eq!(told.body["successes"].as_array().expect("a list").len(), 3);
    assert_eq!(told.body["errors"][0]["id"], bad["id"]);
    assert_eq!(told.body["errors"][0]["status"], 422);
    let became: Vec<Outcome> = traces.outcomes(2).await.iter().map(|it| it.0).collect();
    assert_eq!(became, [Outcome::Rejected, Outcome::Charged]);

    assert_eq!(traces.send("{").await.status, 400);
    assert_eq!(traces.send(r#"{"events":[]}"#).await.status, 422);
    let large = format!(r#"{{"batch":[{}]}}"#, " ".repeat(8 * 1024 * 1024));
    let refused = traces.send(large).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["error"]),
        (413, &json!("payload_too_large"))
    );
    let waiting = world.ledger().waiting_count().await.expect("a count");
    assert_eq!(waiting, 3, "the event and the two bodies");
}

#[tokio::test]
async fn large_texts_are_taken_in_and_not_kept() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    let mut large = call(MESSAGE, None, "g", 100, 0);
    large["body"]["input"] = "long ".repeat(1_000_000).into();
    traces.tell(&[trace(MESSAGE, None, "u", None), large]).await;
    traces.outcomes(1).await;
    assert_eq!(world.balance("u").await, "-1");
    let longest = world
        .number("select max(length(body))::bigint from trace_part")
        .await;
    assert!(longest < 64 * 1024, "{longest}");
}

#[tokio::test]
async fn a_call_that_comes_late_is_charged_alone() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    traces
        .tell(&[
            trace(MESSAGE, Some(RUN), "u", Some(110)),
            call(MESSAGE, Some(RUN), "n1", 100, 10),
        ])
        .await;
    traces.outcomes(1).await;
    assert_eq!(world.balance("u").await, "-1.2");
    // The run went on after a pause, and Dify traces it again, as a whole.
    traces
        .tell(&[
            trace(MESSAGE, Some(RUN), "u", Some(220)),
            call(MESSAGE, Some(RUN), "n1", 100, 10),
            call(MESSAGE, Some(RUN), "n2", 100, 10),
        ])
        .await;
    traces.outcomes(2).await;
    assert_eq!(world.balance("u").await, "-2.4");
    world.verify().await;
}

#[tokio::test]
async fn parts_whose_rest_never_comes_wait_for_an_administrator() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    let orphan = call(MESSAGE, Some(RUN), "n1", 100, 10);
    let uncalled = trace("m2", Some("r2"), "u", Some(50));
    traces.tell(&[orphan.clone(), uncalled]).await;
    let_time_pass(&world).await;
    for (outcome, ..) in traces.outcomes(2).await {
        assert_eq!(outcome, Outcome::Quarantined);
    }
    let waiting = world
        .admin(
            Method::GET,
            "quarantine?reason=incomplete_trace",
            &Value::Null,
        )
        .await;
    let items = waiting.data()["items"].as_array().expect("items").clone();
    assert_eq!(items.len(), 2, "{items:?}");
    let bodies: Vec<Value> = items
        .iter()
        .map(|item| serde_json::from_str(item["body"].as_str().expect("text")).expect("JSON"))
        .collect();
    assert!(bodies.contains(&json!({ "batch": [orphan] })), "{bodies:?}");
    // The user becomes known after all: the call is charged.
    traces
        .tell(&[trace(MESSAGE, Some(RUN), "late", Some(110))])
        .await;
    traces.outcomes(3).await;
    assert_eq!(world.balance("late").await, "-1.2");
    world.verify().await;
}

#[tokio::test]
async fn a_basic_apps_message_survives_the_loss_of_either_half() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    let mut half = call("m1", None, "g", 100, 0);
    half["body"]["metadata"] = json!({ "message_id": "m1", "user_id": "ann" });
    let mut other = trace("m2", None, "bob", None);
    other["body"]["input"] = json!({ "message_tokens": 200, "answer_tokens": 0 });
    other["body"]["metadata"]["ls_model_name"] = "gpt-4o".into();
    traces.tell(&[half, other]).await;
    let_time_pass(&world).await;
    traces.outcomes(2).await;
    assert_eq!(world.balance("ann").await, "-1");
    assert_eq!(world.balance("bob").await, "-2");
}

#[tokio::test]
async fn a_delivery_that_fails_is_tried_again() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    world
        .sql("alter table journal_entry add constraint broken check (kind <> 'charge') not valid")
        .await;
    traces
        .tell(&[
            trace(MESSAGE, None, "u", None),
            call(MESSAGE, None, "g", 100, 0),
        ])
        .await;
    let deadline = Instant::now() + Duration::from_secs(20);
    // It is put off once it has failed.
    while world
        .number("select count(*) from trace where due_at > now() + interval '2 seconds'")
        .await
        == 0
    {
        assert!(Instant::now() < deadline, "it has not failed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.balance("u").await, "0");
    world
        .sql("alter table journal_entry drop constraint broken; update trace set due_at = now()")
        .await;
    traces.outcomes(1).await;
    assert_eq!(world.balance("u").await, "-1");
    world.verify().await;
}

#[tokio::test]
async fn what_was_delivered_is_cleared_after_some_days() {
    let world = World::new().await;
    let traces = Traces::new(&world).await;
    traces
        .tell(&[
            trace("m1", None, "u", None),
            call("m1", None, "g1", 100, 0),
            call("m2", None, "g2", 100, 0),
        ])
        .await;
    traces.outcomes(1).await;
    world
        .sql("update trace set seen_at = seen_at - interval '4 days'")
        .await;
    world.ledger().maintain().await.expect("maintained");
    let left = world.number("select count(*) from trace_part").await;
    assert_eq!(left, 1, "only what still waits for its user");
}
