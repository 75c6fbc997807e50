//! Runs that Dify pauses for a person's input: the rest is charged, once, whoever asks for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::gateway::{
    Gate, NODE_FINISHED, USER, WORKFLOW_FINISHED, body, data, denial, event, send,
};
use axum::body::Bytes;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::dify::{ReplyStep, Script, within};
use testkit::{World, actor, answer};
use tokio::sync::Notify;

const RUN: &str = "fb47b2e6-5e43-4f90-be01-d5c5a088d156";
/// Of a run that was paused after its first node and has two: 100 tokens in and 50 out of gpt-4o
/// each, two points.
const WHOLE: u64 = 300;

/// A node that cost two points.
fn node(id: &str) -> Value {
    let mut node = event(NODE_FINISHED);
    node["data"]["id"] = json!(id);
    node
}

fn paused() -> Value {
    json!({
        "event": "workflow_paused", "workflow_run_id": RUN,
        "data": { "workflow_run_id": RUN, "total_tokens": 150, "reasons": [] },
    })
}

fn finished(total: u64) -> Value {
    let mut finished = event(WORKFLOW_FINISHED);
    finished["data"]["total_tokens"] = json!(total);
    finished
}

/// What is to be told of a run, with a ping first, as Dify does it.
fn events(events: &[Value]) -> Script {
    Script::stream(steps(events))
}

fn steps(events: &[Value]) -> Vec<ReplyStep> {
    let ping = ReplyStep::Send(Bytes::from_static(b"event: ping\n\n"));
    let events = events.iter().map(|event| ReplyStep::Send(data(event)));
    std::iter::once(ping).chain(events).collect()
}

/// Events that come when a test says so.
fn events_after(go: &Arc<Notify>, told: &[Value]) -> Script {
    let mut steps = steps(told);
    steps.insert(1, ReplyStep::Wait(Arc::clone(go)));
    Script::stream(steps)
}

impl Gate {
    /// A gate with a run of a user that was paused, for two points so far.
    async fn with_paused_run_of(user: &str) -> Self {
        let gate = Self::new().await;
        gate.world.grant(user, "91").await;
        gate.pause_run_of(user).await;
        gate
    }

    async fn with_paused_run() -> Self {
        let gate = Self::new().await;
        gate.pause_run_of(USER).await;
        assert_eq!(gate.balance().await, "998");
        gate
    }

    async fn pause_run_of(&self, user: &str) {
        let required = json!({
            "event": "human_input_required", "workflow_run_id": RUN,
            "data": { "form_id": "form", "form_token": "token" },
        });
        let start = self
            .with_key(Method::POST, "/v1/workflows/run")
            .json(&json!({ "inputs": {}, "user": user }));
        self.hear(start, &[node("n1"), required, paused()]).await;
        assert_eq!(self.paused_runs().await, 1);
    }

    fn form(&self, token: &str, user: &str) -> RequestBuilder {
        self.with_key(Method::POST, &format!("/v1/form/human_input/{token}"))
            .json(&json!({ "inputs": {}, "action": "approve", "user": user }))
    }

    /// Submits the form, while Dify tells this of the run.
    async fn submit(&self, told: Script) {
        self.dify.will(told);
        self.dify.will(Script::json("{}"));
        assert_eq!(body(self.form("token", USER)).await, "{}");
    }

    fn resume(&self) -> RequestBuilder {
        self.with_key(
            Method::GET,
            &format!("/v1/workflow/{RUN}/events?user={USER}"),
        )
    }

    async fn paused_runs(&self) -> i64 {
        self.world.number("select count(*) from paused_run").await
    }

    /// Has it looked at as if its time had come.
    async fn is_due(&self) {
        self.world.sql("update paused_run set due_at = now()").await;
    }

    async fn becomes(&self, query: &'static str, expected: i64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.world.number(query).await != expected {
            assert!(Instant::now() < deadline, "{query}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn run_ends(&self) {
        self.becomes("select count(*) from paused_run", 0).await;
    }

    async fn restarted(self) -> Self {
        let Self { world, dify, key } = self;
        within(world.server.stop()).await.expect("stopped");
        let world = World::on(world.database_url).await;
        Self { world, dify, key }
    }
}

#[tokio::test]
async fn the_rest_is_charged_when_nobody_asks_for_it() {
    let gate = Gate::with_paused_run().await;
    let go = Arc::new(Notify::new());
    gate.submit(events_after(&go, &[node("n2"), finished(WHOLE)]))
        .await;
    let asked = gate.dify.asked();
    let [.., follow, form] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    // It listens before the run can go on.
    assert_eq!(
        follow.address,
        format!("/v1/workflow/{RUN}/events?user={USER}")
    );
    assert_eq!(follow.headers["authorization"], "Bearer app-shop");
    assert_eq!(form.address, "/v1/form/human_input/token");
    go.notify_one();
    gate.run_ends().await;
    assert_eq!(gate.balance().await, "996");
    // Whoever asks afterwards is told the total, and pays nothing.
    gate.hear(gate.resume(), &[finished(WHOLE)]).await;
    gate.settles(3).await;
    assert_eq!(gate.balance().await, "996");
}

#[tokio::test]
async fn the_rest_is_charged_once_when_the_client_asks_for_it_too() {
    let gate = Gate::with_paused_run().await;
    let go = Arc::new(Notify::new());
    let rest = [node("n2"), finished(WHOLE)];
    gate.submit(events_after(&go, &rest)).await;
    gate.hear(gate.resume(), &rest).await;
    assert_eq!(gate.balance().await, "996");
    go.notify_one();
    gate.settles(3).await;
    assert_eq!(gate.balance().await, "996");
    assert_eq!(gate.paused_runs().await, 0);
}

#[tokio::test]
async fn calls_that_were_charged_by_their_sum_are_charged_by_themselves_once_they_are_told() {
    let gate = Gate::with_paused_run().await;
    let go = Arc::new(Notify::new());
    gate.dify
        .will(events_after(&go, &[node("n2"), finished(WHOLE)]));
    let slow = tokio::spawn(gate.resume().send());
    gate.dify.was_asked(2).await;
    // Dify tells of a run that has ended only what all of it used.
    gate.dify.will(events(&[finished(WHOLE)]));
    gate.is_due().await;
    gate.run_ends().await;
    // 150 tokens more, of the source's model.
    assert_eq!(gate.balance().await, "993.5");
    go.notify_one();
    let slow = within(slow).await.expect("joined").expect("an answer");
    within(slow.bytes()).await.expect("a body");
    gate.settles(3).await;
    // The sum is given back for what is known better.
    assert_eq!(gate.balance().await, "996");
}

#[tokio::test]
async fn dify_is_asked_for_a_run_by_the_very_name_that_it_knows() {
    let gate = Gate::new().await;
    gate.world.grant("ann", "100").await;
    gate.pause_run_of(" ann ").await;
    gate.dify.will(events(&[node("n2"), finished(WHOLE)]));
    gate.is_due().await;
    gate.run_ends().await;
    let address = gate.dify.last_asked().address;
    assert!(address.contains("?user=+ann+&"), "{address}");
    assert_eq!(gate.world.balance("ann").await, "96");
    gate.settles(2).await;
}

#[tokio::test]
async fn a_form_is_followed_that_is_submitted_before_its_stream_has_ended() {
    let gate = Gate::new().await;
    let required = json!({
        "event": "human_input_required", "workflow_run_id": RUN,
        "data": { "form_id": "form", "form_token": "token" },
    });
    let (end, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut told = steps(&[node("n1"), required]);
    told.push(ReplyStep::Wait(Arc::clone(&end)));
    told.push(ReplyStep::Send(data(&paused())));
    gate.dify.will(Script::stream(told));
    let start = gate
        .with_key(Method::POST, "/v1/workflows/run")
        .json(&json!({ "inputs": {}, "user": USER }));
    let first = within(start.send()).await.expect("an answer");
    gate.becomes("select count(*) from paused_run", 1).await;
    gate.submit(events_after(&go, &[node("n2"), finished(WHOLE)]))
        .await;
    // It listens before the run can go on.
    let asked = gate.dify.asked();
    let [_, follow, form] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert!(follow.address.contains("/events?"), "{follow:?}");
    assert!(form.address.ends_with("/token"), "{form:?}");
    go.notify_one();
    gate.run_ends().await;
    end.notify_one();
    within(first.bytes()).await.expect("a body");
    gate.settles(2).await;
    assert_eq!(gate.balance().await, "996");
    assert_eq!(gate.paused_runs().await, 0);
}

#[tokio::test]
async fn a_continuation_that_breaks_off_guesses_nothing_and_is_followed() {
    let gate = Gate::with_paused_run().await;
    let mut started = node("n3");
    started["event"] = json!("node_started");
    started["data"]["node_id"] = json!("speaking");
    let spoken = json!({
        "event": "text_chunk", "workflow_run_id": RUN,
        "data": { "text": "word".repeat(100), "from_variable_selector": ["speaking", "text"] },
    });
    let mut told = steps(&[node("n2"), started, spoken]);
    told.push(ReplyStep::Break);
    gate.dify.will(Script::stream(told));
    let resumed = within(gate.resume().send()).await.expect("an answer");
    drop(within(resumed.bytes()).await);
    gate.settles(2).await;
    assert_eq!(gate.balance().await, "996");
    gate.dify.will(events(&[node("n3"), finished(450)]));
    gate.is_due().await;
    gate.run_ends().await;
    gate.settles(3).await;
    assert_eq!(gate.balance().await, "994");
}

#[tokio::test]
async fn who_begins_to_listen_late_pays_by_the_total() {
    let gate = Gate::with_paused_run().await;
    gate.hear(gate.resume(), &[node("n3"), finished(450)]).await;
    // Two points for what was heard, and 150 tokens of the source's model.
    gate.settles(2).await;
    assert_eq!(gate.balance().await, "991.5");
    assert_eq!(gate.paused_runs().await, 0);
}

#[tokio::test]
async fn a_form_that_is_submitted_elsewhere_is_noticed() {
    let gate = Gate::with_paused_run().await;
    for looks in 1..=2 {
        gate.dify.will(events(&[paused()]));
        gate.is_due().await;
        gate.dify
            .was_asked(1 + usize::try_from(looks).expect("fits"))
            .await;
        gate.becomes(
            "select coalesce(max(looks), 0)::bigint from paused_run where due_at < 'infinity'",
            looks,
        )
        .await;
    }
    let address = gate.dify.last_asked().address;
    assert!(
        address.ends_with("&include_state_snapshot=true"),
        "{address}"
    );
    let seconds = "select extract(epoch from due_at - now())::bigint from paused_run";
    assert!((30..=60).contains(&gate.world.number(seconds).await));
    assert_eq!(gate.balance().await, "998");
    // It has gone on: first as far as another pause, then to its end.
    let mut again = paused();
    again["data"]["total_tokens"] = json!(200);
    gate.dify.will(events(&[again]));
    gate.is_due().await;
    gate.world.deliveries(2).await;
    assert_eq!(gate.balance().await, "996.5");
    gate.becomes(
        "select count(*) from paused_run where followed_until is null",
        1,
    )
    .await;
    gate.dify.will(events(&[finished(WHOLE)]));
    gate.is_due().await;
    gate.run_ends().await;
    gate.settles(3).await;
    assert_eq!(gate.balance().await, "993.5");
}

#[tokio::test]
async fn after_a_form_of_an_unknown_run_all_of_the_users_are_looked_at() {
    let gate = Gate::with_paused_run().await;
    gate.dify.will(Script::json("{}"));
    gate.dify.will(events(&[finished(WHOLE)]));
    body(gate.form("another", USER)).await;
    gate.run_ends().await;
    gate.settles(2).await;
    assert_eq!(gate.balance().await, "993.5");
}

#[tokio::test]
async fn a_paused_run_outlives_the_server() {
    let gate = Gate::with_paused_run().await.restarted().await;
    let go = Arc::new(Notify::new());
    gate.submit(events_after(&go, &[node("n2"), paused()]))
        .await;
    go.notify_one();
    gate.settles(2).await;
    assert_eq!(gate.balance().await, "996");
    // Paused again, and on its way when the server stops.
    gate.becomes(
        "select count(*) from paused_run where followed_until is null",
        1,
    )
    .await;
    let mut silent = steps(&[]);
    silent.push(ReplyStep::Silence);
    gate.submit(Script::stream(silent)).await;
    let gate = gate.restarted().await;
    gate.dify.was_abandoned().await;
    gate.dify.will(events(&[finished(450)]));
    gate.is_due().await;
    gate.run_ends().await;
    gate.settles(3).await;
    assert_eq!(gate.balance().await, "991.5");
}

#[tokio::test]
async fn a_run_of_a_server_that_died_is_taken_by_another() {
    let gate = Gate::with_paused_run().await;
    gate.world
        .sql(
            "update paused_run set due_at = 'infinity', followed_until = now() + interval '1 hour'",
        )
        .await;
    // Somebody has it: it is only passed on.
    gate.dify.will(Script::json("{}"));
    body(gate.form("token", USER)).await;
    assert_eq!(gate.dify.asked().len(), 2);
    gate.dify.will(events(&[finished(WHOLE)]));
    gate.world
        .sql("update paused_run set followed_until = now()")
        .await;
    gate.run_ends().await;
    gate.settles(2).await;
    assert_eq!(gate.balance().await, "993.5");
}

#[tokio::test]
async fn a_form_is_refused_until_the_rest_can_be_paid() {
    let gate = Gate::with_paused_run_of("poor").await;
    let user_token = gate.user_token("poor").await;
    let by = |token: &str| {
        gate.world
            .request(Method::POST, "/v1/form/human_input/token")
            .bearer_auth(token)
            .json(&json!({ "inputs": {}, "action": "approve" }))
    };
    let own = || by(&user_token);
    // Whoever fills in the form, it is the run's user who pays.
    for refused in [gate.form("token", "poor"), gate.form("token", USER), own()] {
        let refused = answer(refused).await;
        assert_eq!(denial(&refused), (400, "provider_quota_exceeded"));
        let message = refused.body["message"].as_str().expect("text");
        assert!(
            message.contains("90") && message.contains("89"),
            "{message}"
        );
    }
    // A user is told of no balance but the own one, and pays for nobody else.
    gate.world.grant("rich", "1000").await;
    let other = gate.user_token("rich").await;
    let refused = answer(by(&other)).await;
    assert_eq!(denial(&refused), (400, "provider_quota_exceeded"));
    let message = refused.body["message"].as_str().expect("text");
    assert!(!message.contains(char::is_numeric), "{message}");
    assert_eq!(gate.dify.asked().len(), 1);

    gate.world.grant("poor", "10").await;
    gate.dify.will(events(&[node("n2"), finished(WHOLE)]));
    gate.dify.will(Script::json("{}"));
    body(own()).await;
    gate.run_ends().await;
    assert_eq!(gate.world.balance("poor").await, "97");
    gate.settles(2).await;
}

#[tokio::test]
async fn a_form_that_dify_refuses_leaves_the_run_as_it_is() {
    let gate = Gate::with_paused_run().await;
    let mut silent = steps(&[]);
    silent.push(ReplyStep::Silence);
    gate.dify.will(Script::stream(silent));
    let expired = r#"{"code": "form_expired", "message": "no", "status": 412}"#;
    gate.dify.will(Script::json(expired).status(412));
    let refused = send(gate.form("token", USER)).await;
    assert_eq!(refused.status(), 412);
    gate.dify.was_abandoned().await;
    gate.becomes(
        "select count(*) from paused_run where due_at < 'infinity'",
        1,
    )
    .await;
    gate.settles(1).await;
}

#[tokio::test]
async fn runs_of_revoked_sources_and_very_old_ones_are_given_up() {
    let gate = Gate::with_paused_run().await;
    gate.world
        .sql("update paused_run set paused_at = now() - interval '9 days'")
        .await;
    gate.run_ends().await;
    gate.pause_run_of(USER).await;
    let asked = gate.dify.asked().len();
    let sources = gate.world.ledger().sources().await.expect("sources");
    let source = sources.iter().find(|it| it.name == "shop").expect("it");
    let revoked = gate
        .world
        .ledger()
        .revoke_api_key(source.id, &actor())
        .await;
    revoked.expect("revoked");
    gate.is_due().await;
    gate.run_ends().await;
    assert_eq!(gate.dify.asked().len(), asked);
}

#[tokio::test]
async fn only_some_runs_of_a_user_are_followed_at_once() {
    let gate = Gate::with_paused_run().await;
    gate.world
        .sql(
            "insert into paused_run (api_key_id, run_id, message_id, user_id, due_at)
             select api_key_id, 'run-' || n, 'run-' || n, user_id, 'infinity'
             from paused_run, generate_series(1, 9) n",
        )
        .await;
    for _ in 0..10 {
        let mut silent = steps(&[]);
        silent.push(ReplyStep::Silence);
        gate.dify.will(Script::stream(silent));
    }
    gate.is_due().await;
    let followed = "select count(*) from paused_run where followed_until is not null";
    gate.becomes(followed, 4).await;
    gate.dify.was_asked(5).await;
    // Another round takes no more.
    gate.world
        .sql("update paused_run set paused_at = now() - interval '9 days' where run_id = 'run-9'")
        .await;
    gate.becomes("select count(*) from paused_run where run_id = 'run-9'", 0)
        .await;
    assert!(gate.dify.asked().len() <= 5 + 1);
    assert!(gate.world.number(followed).await <= 4);
}

#[tokio::test]
async fn one_balance_resumes_one_run() {
    let gate = Gate::with_paused_run_of("poor").await;
    gate.world.grant("poor", "10").await;
    let go = Arc::new(Notify::new());
    let rest = [node("n2"), finished(WHOLE)];
    gate.dify.will(events_after(&go, &rest));
    gate.dify.will(Script::json("{}"));
    body(gate.form("token", "poor")).await;
    // The points are held for the run that goes on.
    let refused = answer(gate.form("token", "poor")).await;
    assert_eq!(denial(&refused), (400, "provider_quota_exceeded"));
    go.notify_one();
    gate.run_ends().await;
    gate.becomes("select count(*) from hold where status = 'open'", 0)
        .await;
    assert_eq!(gate.world.balance("poor").await, "97");
    gate.settles(2).await;
}

#[tokio::test]
async fn a_form_waits_while_too_many_runs_of_its_user_go_on() {
    let gate = Gate::with_paused_run().await;
    gate.world
        .sql(
            "insert into paused_run (api_key_id, run_id, message_id, user_id, due_at, followed_until)
             select api_key_id, 'run-' || n, 'run-' || n, user_id, 'infinity', now() + interval '1 hour'
             from paused_run, generate_series(1, 4) n",
        )
        .await;
    let busy = answer(gate.form("token", USER)).await;
    assert_eq!(denial(&busy), (503, "service_unavailable"));
    assert_eq!(gate.dify.asked().len(), 1);
    gate.settles(1).await;
}
