//! Several reports of a message, over REST.

use std::sync::Arc;

use ledger::{Delivery, Entrance};
use reqwest::Method;
use serde_json::{Value, json};
use shared::formats::dify::parse_webhook;
use testkit::{Answer, World, event};

async fn get(world: &World, path: &str) -> Answer {
    world.admin(Method::GET, path, &Value::Null).await
}

/// A run that the webhook and the traces tell of; the traces know it as `run/ID`, too.
async fn told_twice(world: &World, id: &str, user: &str, tokens: [u64; 2]) {
    let ledger = world.ledger();
    let key = ledger.authenticate_key(&world.webhook_key).await;
    let key = key.expect("an answer").expect("a key");
    for (entrance, user, tokens, other) in [
        (Entrance::Webhook, "u1", tokens[0], None),
        (
            Entrance::Langfuse,
            user,
            tokens[1],
            Some(format!("run/{id}")),
        ),
    ] {
        let body = event(id, user, "gpt-4", tokens, 10);
        let mut message = parse_webhook(body.as_bytes()).expect("a message");
        message.also_known_as.extend(other);
        let delivery = Delivery::own(Arc::clone(&key), entrance, message);
        ledger.deliver(delivery).await.expect("taken in");
    }
}

#[tokio::test]
async fn all_reports_of_a_message_are_told_by_any_of_its_ids() {
    let world = World::new().await;
    told_twice(&world, "m1", "u1", [1000, 1100]).await;
    let shown = get(&world, "messages/m1/reports").await;
    let items = shown.data()["items"].as_array().expect("items").clone();
    let told: Vec<_> = items
        .iter()
        .map(|item| {
            [
                &item["messageId"],
                &item["source"],
                &item["entrance"],
                &item["evidence"],
                &item["userId"],
                &item["inputTokens"],
                &item["outputTokens"],
                &item["difference"],
            ]
        })
        .collect();
    let told = serde_json::to_value(told).expect("JSON");
    assert_eq!(
        told,
        json!([
            ["m1", "dify", "webhook", "measured", "u1", 1000, 10, null],
            [
                "m1", "dify", "langfuse", "measured", "u1", 1100, 10, "tokens"
            ],
        ])
    );
    let charged = items[0]["consumptionId"].as_str().expect("a charge");
    assert!(charged.starts_with("cons_"), "{charged}");
    assert!(items[1]["consumptionId"].is_null());
    assert!(items[0]["reportedAt"].is_string() && items[1]["reportedAt"].is_string());

    let by_its_run = get(&world, "messages/run%2Fm1/reports").await;
    assert_eq!(by_its_run.data()["items"], Value::Array(items));
    let nobody = get(&world, "messages/nobody/reports").await;
    assert_eq!(nobody.refusal(), (404, "not_found", None));
    world.verify().await;
}

#[tokio::test]
async fn differences_come_in_pages_newest_first() {
    let world = World::new().await;
    told_twice(&world, "agreed", "u1", [1000, 1000]).await;
    assert_eq!(
        get(&world, "differences").await.data(),
        &json!({ "items": [], "nextCursor": null })
    );
    for (id, user) in [("m1", "u1"), ("m2", "u1"), ("m3", "u1")] {
        told_twice(&world, id, user, [1000, 900]).await;
    }
    let (mut found, mut path) = (Vec::new(), "differences?limit=2".to_owned());
    loop {
        let page = get(&world, &path).await;
        let items = page.data()["items"].as_array().expect("items");
        found.push(
            items
                .iter()
                .map(|item| (item["messageId"].clone(), item["difference"].clone()))
                .collect::<Vec<_>>(),
        );
        let Some(cursor) = page.data()["nextCursor"].as_str() else {
            break;
        };
        path = format!("differences?limit=2&cursor={cursor}");
    }
    let item = |id: &str, difference: &str| (json!(id), json!(difference));
    assert_eq!(
        found,
        [
            vec![item("m3", "tokens"), item("m2", "tokens")],
            vec![item("m1", "tokens")],
        ]
    );
    let lost = get(&world, "differences?cursor=x").await;
    assert_eq!(lost.refusal(), (422, "invalid_field", Some("cursor")));
    let odd = get(&world, "differences?user=u1").await;
    assert_eq!(odd.refusal(), (422, "invalid_field", Some("user")));
}
