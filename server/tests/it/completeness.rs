//! What Dify served beside what arrived, with a stand-in for the lists of Dify's API.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use dify_client::Dify;
use ledger::NewSource;
use reqwest::Method;
use serde_json::{Value, json};
use shared::source::{SourceEntrance, SourceSettings};
use testkit::{World, actor, event};
use time::OffsetDateTime;
use tokio::task::spawn_blocking;

use crate::command_line::tollgate;

const APP_KEY: &str = "app-secret";

/// What an app has served: messages by user and conversation, or runs.
#[derive(Default)]
struct App {
    /// Oldest first.
    messages: Vec<Message>,
    /// User, run, tokens; newest first.
    runs: Option<Vec<(&'static str, String, u64)>>,
}

struct Message {
    user: &'static str,
    conversation: &'static str,
    id: &'static str,
    /// In and out; old versions of Dify do not tell them.
    tokens: Option<(u64, u64)>,
}

type Parameters = Query<HashMap<String, String>>;

/// An hour ago: old enough to be looked at.
fn created_at() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp() - 3600
}

fn refused(headers: &HeaderMap) -> Option<Response> {
    let is_app = headers["authorization"] == format!("Bearer {APP_KEY}");
    (!is_app).then(|| StatusCode::UNAUTHORIZED.into_response())
}

/// Pages of two, so that every list has several.
fn page(items: Vec<Value>, first: usize) -> Response {
    let has_more = items.len() > first + 2;
    let data: Vec<Value> = items.into_iter().skip(first).take(2).collect();
    Json(json!({ "data": data, "has_more": has_more, "limit": 2 })).into_response()
}

async fn conversations(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    if app.runs.is_some() {
        let told = json!({ "code": "not_chat_app", "message": "no chat", "status": 400 });
        return (StatusCode::BAD_REQUEST, Json(told)).into_response();
    }
    let mut ids: Vec<&str> = app
        .messages
        .iter()
        .filter(|it| it.user == query["user"])
        .map(|it| it.conversation)
        .collect();
    ids.dedup();
    let first = query.get("last_id");
    let first = first.map_or(0, |last| ids.iter().position(|id| id == last).unwrap() + 1);
    let items = ids
        .iter()
        .map(|id| json!({ "id": id, "name": "chat", "created_at": created_at(), "updated_at": created_at() }));
    page(items.collect(), first)
}

async fn messages(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let of: Vec<_> = app
        .messages
        .iter()
        .filter(|it| it.user == query["user"] && it.conversation == query["conversation_id"])
        .collect();
    let first = query.get("first_id");
    let end = first.map_or(of.len(), |first| {
        of.iter().position(|it| it.id == first).unwrap()
    });
    let begin = end.saturating_sub(2);
    let data: Vec<Value> = of[begin..end]
        .iter()
        .map(|it| {
            let mut message = json!({ "id": it.id, "conversation_id": it.conversation, "created_at": created_at(), "answer": "yo" });
            if let Some((input, output)) = it.tokens {
                message["message_tokens"] = input.into();
                message["answer_tokens"] = output.into();
                message["total_tokens"] = (input + output).into();
            }
            message
        })
        .collect();
    Json(json!({ "data": data, "has_more": begin > 0, "limit": 2 })).into_response()
}

async fn logs(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let runs = app.runs.iter().flatten().map(|(user, run, tokens)| {
        json!({ "id": format!("log-{run}"), "created_by_role": "end_user", "created_by_account": null,
            "created_by_end_user": { "id": "uuid", "session_id": user },
            "workflow_run": { "id": run, "status": "succeeded", "total_tokens": tokens, "created_at": created_at() } })
    });
    let number: usize = query["page"].parse().unwrap();
    page(runs.collect(), (number - 1) * 2)
}

/// Serves an app, and makes the source in front of it.
async fn source(world: &World, app: App) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new()
        .route("/v1/conversations", get(conversations))
        .route("/v1/messages", get(messages))
        .route("/v1/workflows/logs", get(logs))
        .with_state(Arc::new(app));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let source = NewSource {
        name: "shop".to_owned(),
        entrance: SourceEntrance::Gateway,
        namespace: None,
        require_signature: false,
        settings: SourceSettings {
            upstream_url: Some(format!("http://{address}/v1")),
            model_name: Some("gpt-4".parse().unwrap()),
            ..SourceSettings::default()
        },
        upstream_key: Some(APP_KEY.to_owned()),
    };
    let created = world.ledger().create_source(&source, &actor()).await;
    created.expect("a source");
}

fn client() -> Dify {
    Dify::new(dify_client::connections().expect("connections"))
}

/// Runs `tollgate completeness`.
async fn completeness(world: &World, arguments: &[&str]) -> Value {
    let mut command = tollgate(&["completeness", "--source", "shop", "--json"]);
    command
        .args(arguments)
        .env("DATABASE_URL", &world.database_url);
    let output = spawn_blocking(move || command.output()).await;
    let output = output.expect("no panic").expect("output");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"))
}

fn ids(found: &Value) -> Vec<&str> {
    let missing = found["missing"].as_array().expect("a list");
    let mut ids: Vec<_> = missing
        .iter()
        .map(|it| it["messageId"].as_str().expect("an id"))
        .collect();
    ids.sort_unstable();
    ids
}

fn counts(found: &Value) -> (u64, u64) {
    let sum = |name: &str| {
        let days = found["days"].as_array().expect("days");
        days.iter()
            .map(|day| day[name].as_u64().expect("a count"))
            .sum()
    };
    (sum("served"), sum("arrived"))
}

#[tokio::test]
async fn what_a_chat_served_and_nobody_reported_is_found_and_charged_once() {
    let world = World::new().await;
    let used = Some((1000, 500));
    let mut app = App::default();
    for (user, conversation, id, tokens) in [
        ("ann", "c1", "m1", used),
        ("ann", "c1", "m2", used),
        ("ann", "c1", "m3", used),
        ("ann", "c1", "answered by an annotation", Some((0, 0))),
        ("ann", "c2", "m4", used),
        ("ann", "c3", "m5", used),
        ("bob", "c4", "m6", used),
        ("bob", "c4", "of an old Dify", None),
    ] {
        app.messages.push(Message {
            user,
            conversation,
            id,
            tokens,
        });
    }
    source(&world, app).await;
    for message in ["m1", "m3", "m4", "m5"] {
        let arrived = world
            .deliver(event(message, "ann", "gpt-4", 1000, 500))
            .await;
        assert_eq!(arrived.data()["status"], "charged");
    }
    // Nobody is known to use this app yet: its own source has reported nobody.
    assert_eq!(counts(&completeness(&world, &[]).await), (0, 0));
    let both = ["--user", "ann", "--user", "bob"];
    let found = completeness(&world, &both).await;
    assert_eq!(counts(&found), (7, 4), "{found}");
    assert_eq!(ids(&found), ["m2", "m6", "of an old Dify"]);
    assert_eq!(
        world.balance("ann").await,
        "-240",
        "nothing is charged unasked"
    );

    let one = [&both[..], &["--charge", "--message", "m2"]].concat();
    let charged = completeness(&world, &one).await;
    assert_eq!(charged["charged"][0]["answer"]["pointsDeducted"], 60);
    assert_eq!(world.balance("ann").await, "-300");
    let rest = [&both[..], &["--charge"]].concat();
    let charged = completeness(&world, &rest).await;
    let became = charged["charged"].as_array().expect("a list");
    assert_eq!(became.len(), 2, "m2 is missing no longer: {charged}");
    let unknown = became.iter().find(|it| it["messageId"] == "of an old Dify");
    assert_eq!(unknown.expect("told")["problem"], "invalid_field");
    assert_eq!(world.balance("bob").await, "-60");

    let found = completeness(&world, &both).await;
    assert_eq!(counts(&found), (7, 6));
    assert_eq!(ids(&found), ["of an old Dify"]);
    world.verify().await;
}

#[tokio::test]
async fn a_workflows_runs_are_found_with_their_users_and_told_to_administrators() {
    let world = World::new().await;
    let runs = (0..5).map(|run| ("ann", format!("run-{run}"), 100 * run));
    let app = App {
        runs: Some(runs.collect()),
        ..App::default()
    };
    source(&world, app).await;
    for run in ["run-1", "run-4"] {
        world
            .deliver(event(run, "ann", "gpt-4", 100, 0))
            .await
            .data();
    }
    let client = client();
    server::completeness::check_due(world.ledger(), &client)
        .await
        .expect("checked");
    let shown = world
        .admin(Method::GET, "completeness?source=shop", &Value::Null)
        .await;
    let found = shown.data();
    assert_eq!(
        counts(found),
        (4, 2),
        "the run without tokens needs no report"
    );
    assert_eq!(ids(found), ["run-2", "run-3"]);
    assert!(found["checkedAt"].is_string());
    // It is nobody's turn again so soon.
    world
        .deliver(event("run-2", "ann", "gpt-4", 200, 0))
        .await
        .data();
    server::completeness::check_due(world.ledger(), &client)
        .await
        .expect("checked");
    let again = json!({ "source": "shop", "since": "2026-01-01T00:00:00Z" });
    let shown = world
        .admin(Method::GET, "completeness?source=shop", &Value::Null)
        .await;
    assert_eq!(counts(shown.data()), (4, 2));
    assert_eq!(
        ids(shown.data()),
        ["run-3"],
        "what arrives is missing no longer"
    );
    let checked = world.admin(Method::POST, "completeness", &again).await;
    assert_eq!(counts(checked.data()), (4, 3));
    let before = world.balance("ann").await;
    let charge = json!({ "source": "shop", "messages": [{ "messageId": "run-3" }] });
    let charged = world
        .admin(Method::POST, "completeness/charge", &charge)
        .await;
    assert_eq!(charged.data()[0]["answer"]["pointsDeducted"], 9);
    assert_ne!(world.balance("ann").await, before);
    world.verify().await;
}

#[tokio::test]
async fn an_app_that_refuses_is_told_and_nothing_is_taken_for_missing() {
    let world = World::new().await;
    source(&world, App::default()).await;
    world
        .sql("update api_key set settings = settings || '{\"upstreamUrl\":\"http://127.0.0.1:1/v1\"}' where scope = 'gateway'")
        .await;
    let client = client();
    server::completeness::check_due(world.ledger(), &client)
        .await
        .expect("checked");
    let shown = world
        .admin(Method::GET, "completeness?source=shop", &Value::Null)
        .await;
    let why = shown.data()["error"].as_str().expect("a reason");
    assert!(why.contains("does not answer"), "{why}");
    assert!(shown.data()["days"].as_array().expect("days").is_empty());
    let other = world
        .admin(Method::GET, "completeness?source=other", &Value::Null)
        .await;
    assert_eq!(other.refusal(), (404, "not_found", None));
}
