//! `POST /api/dify/guard`, as Dify's API-based extension asks it.

use ledger::NewSource;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::source::{SourceEntrance, SourceSettings};
use testkit::{Answer, World, actor, answer};

const REQUEST: &str = include_str!("../fixtures/extension_moderation_request.json");

/// The key of a guard.
pub async fn guard(world: &World, change: impl FnOnce(&mut SourceSettings)) -> String {
    let mut settings = SourceSettings {
        model_name: Some("gpt-4".parse().expect("a model")),
        estimated_input_tokens: Some(1000),
        estimated_output_tokens: Some(1000),
        user_variable: Some("billing_user".to_owned()),
        ..SourceSettings::default()
    };
    change(&mut settings);
    let new = NewSource {
        name: "guard".to_owned(),
        entrance: SourceEntrance::Guard,
        namespace: None,
        require_signature: false,
        settings,
        upstream_key: None,
    };
    let created = world.ledger().create_source(&new, &actor()).await;
    created.expect("a source").key
}

async fn ask(world: &World, key: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = world
        .request(Method::POST, "/api/dify/guard")
        .bearer_auth(key)
        .body(body);
    answer(request).await
}

fn message_of(user: &Value) -> String {
    let mut request: Value = serde_json::from_str(REQUEST).expect("JSON");
    request["params"]["inputs"]["billing_user"] = user.clone();
    request.to_string()
}

#[track_caller]
fn preset(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["flagged"], true, "{answer:?}");
    assert_eq!(answer.body["action"], "direct_output");
    answer.body["preset_response"].as_str().expect("a text")
}

#[track_caller]
fn passes(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        json!({ "flagged": false, "action": "direct_output" })
    );
}

#[tokio::test]
async fn a_message_passes_while_its_user_can_pay() {
    let world = World::with(|config| {
        config.recharge_url = Some("https://shop.example".to_owned());
    })
    .await;
    let key = guard(&world, |_| {}).await;
    let blocked = ask(&world, &key, REQUEST).await;
    let preset = preset(&blocked);
    for part in [
        "积分不足：本次对话预计需要 90 积分，您的可用积分为 0",
        "Not enough points: this message needs about 90, and you have 0",
        "https://shop.example",
    ] {
        assert!(preset.contains(part), "{preset}");
    }
    world.grant("customer-4821", "90").await;
    passes(&ask(&world, &key, REQUEST).await);
    // Nothing is held or charged: another entrance does that.
    let user = "customer-4821".parse().expect("a user");
    let balance = world.ledger().balance(&user).await.expect("a balance");
    assert_eq!(balance.available.to_string(), "90");
    world.grant("7", "90").await;
    passes(&ask(&world, &key, message_of(&json!(7))).await);
}

#[tokio::test]
async fn a_message_whose_user_is_unknown_is_stopped_unless_the_operator_prefers_answers() {
    let world = World::new().await;
    let key = guard(&world, |_| {}).await;
    for user in [
        json!(null),
        json!(""),
        json!("  "),
        json!(["u1"]),
        json!("x".repeat(300)),
    ] {
        let blocked = ask(&world, &key, message_of(&user)).await;
        let text = preset(&blocked);
        assert!(
            text.contains("billing_user") && text.contains("无法检查您的积分"),
            "{text}"
        );
    }
    let nothing = json!({ "point": "app.moderation.input", "params": {} }).to_string();
    preset(&ask(&world, &key, nothing).await);

    let open = guard(&world, |settings| settings.is_fail_open = true).await;
    passes(&ask(&world, &open, message_of(&json!(""))).await);
    let known = ask(&world, &open, REQUEST).await;
    assert!(
        preset(&known).contains("积分不足"),
        "who is known to lack points is stopped"
    );
}

#[tokio::test]
async fn what_cannot_be_priced_is_stopped_unless_the_operator_prefers_answers() {
    let world = World::new().await;
    world.grant("customer-4821", "1000").await;
    let unpriced = |settings: &mut SourceSettings| {
        settings.model_name = Some("unheard-of".parse().expect("a model"));
    };
    let key = guard(&world, unpriced).await;
    let blocked = ask(&world, &key, REQUEST).await;
    assert!(preset(&blocked).contains("cannot be checked at the moment"));
    let open = guard(&world, |settings| {
        unpriced(settings);
        settings.is_fail_open = true;
    })
    .await;
    passes(&ask(&world, &open, REQUEST).await);
}

#[tokio::test]
async fn the_other_points_of_an_extension_are_answered_as_dify_expects() {
    let world = World::new().await;
    let key = guard(&world, |_| {}).await;
    let ping = ask(&world, &key, r#"{"point":"ping","params":{}}"#).await;
    assert_eq!(
        (ping.status, ping.body),
        (StatusCode::OK, json!({ "result": "pong" }))
    );
    let output =
        json!({ "point": "app.moderation.output", "params": { "app_id": "a", "text": "hi" } });
    passes(&ask(&world, &key, output.to_string()).await);
    let tool = json!({ "point": "app.external_data_tool.query",
        "params": { "app_id": "a", "tool_variable": "v", "inputs": {}, "query": "q" } });
    let told = ask(&world, &key, tool.to_string()).await;
    assert_eq!(told.status, StatusCode::OK);
    assert!(
        told.body["result"]
            .as_str()
            .expect("text")
            .contains("Content Moderation")
    );

    let other = ask(&world, &key, r#"{"point":"app.other","params":{}}"#).await;
    assert_eq!(other.refusal(), (422, "invalid_field", Some("point")));
    assert_eq!(ask(&world, &key, "{").await.refusal().1, "invalid_json");
    for wrong in [&world.admin_key, &world.webhook_key] {
        let refused = ask(&world, wrong, REQUEST).await;
        assert_eq!(refused.refusal(), (403, "wrong_scope", None));
    }
    assert_eq!(ask(&world, "tg_gd_unknown", REQUEST).await.refusal().0, 401);
}
