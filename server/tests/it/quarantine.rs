//! Messages that wait, over REST.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, World, event};

async fn get(world: &World, path: &str) -> Answer {
    world.admin(Method::GET, path, &Value::Null).await
}

/// The ids of what waits, newest first.
async fn waiting(world: &World, query: &str) -> Vec<String> {
    let answer = get(world, &format!("quarantine?{query}")).await;
    let items = answer.data()["items"].as_array().expect("items").clone();
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// A report whose total is not the sum of its parts.
fn lying(message: &str) -> String {
    let mut body: Value =
        serde_json::from_str(&event(message, "u1", "gpt-4", 1000, 0)).expect("JSON");
    body["data"]["total_tokens"] = 7.into();
    body.to_string()
}

#[tokio::test]
async fn a_waiting_message_is_looked_at_corrected_and_charged() {
    let world = World::new().await;
    let delivered = world.deliver(lying("m1")).await;
    assert_eq!(delivered.status, 202);
    let ids = waiting(&world, "").await;
    let path = format!("quarantine/{}", ids[0]);
    let shown = get(&world, &path).await;
    let shown = shown.data();
    assert_eq!(
        (
            &shown["status"],
            &shown["item"]["reason"],
            &shown["item"]["body"],
            &shown["usage"]["reportedTotal"],
        ),
        (
            &json!("waiting"),
            &json!("contradictory_tokens"),
            &json!(lying("m1")),
            &json!(7),
        )
    );
    let correct = async |body: String| {
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let path = format!("{path}/correct");
        world.admin(Method::POST, &path, &body).await
    };
    let bad = correct(event("m1", "u1", "gpt-4", 2000, 0).replace("2000", "-1")).await;
    assert_eq!(
        bad.refusal(),
        (422, "invalid_field", Some("data.input_tokens"))
    );
    let other = correct(event("m2", "u1", "gpt-4", 2000, 0)).await;
    assert_eq!(other.refusal(), (422, "invalid_field", Some("message_id")));
    let charged = correct(event("m1", "u1", "gpt-4", 2000, 0)).await;
    assert_eq!(
        (&charged.data()["status"], &charged.data()["pointsDeducted"]),
        (&json!("charged"), &json!(60))
    );
    assert_eq!(world.balance("u1").await, "-60");
    assert_eq!(get(&world, &path).await.data()["status"], "charged");
    assert!(waiting(&world, "").await.is_empty());
    let again = correct(event("m1", "u1", "gpt-4", 2000, 0)).await;
    assert_eq!(again.refusal(), (404, "not_found", None));
    // Its sender delivers it again: the message is known, and what was decided stands.
    let redelivered = world.deliver(lying("m1")).await;
    assert_eq!(redelivered.data()["status"], "duplicate");
    assert_eq!(world.balance("u1").await, "-60");
    world.verify().await;
}

#[tokio::test]
async fn a_message_is_charged_as_reported_or_goes_on_waiting_for_a_price() {
    let world = World::new().await;
    world.deliver(lying("m1")).await.data();
    let unpriced = event("m2", "u1", "unheard-of", 1000, 0);
    world.deliver(unpriced).await.data();
    let charge = async |id: &str| {
        let path = format!("quarantine/{id}/charge");
        world.admin(Method::POST, &path, &Value::Null).await
    };
    let doubtful = waiting(&world, "reason=contradictory_tokens").await;
    let unknown = waiting(&world, "reason=unknown_model").await;
    assert_eq!((doubtful.len(), unknown.len()), (1, 1));
    assert_eq!(charge(&doubtful[0]).await.data()["pointsDeducted"], 30);
    let waits = charge(&unknown[0]).await;
    assert_eq!(
        (waits.status.as_u16(), &waits.data()["reason"]),
        (202, &json!("unknown_model"))
    );
    assert_eq!(waiting(&world, "").await, unknown);
    // Its price charges it.
    world.price("unheard-of", "1", "1").await;
    assert!(waiting(&world, "").await.is_empty());
    assert_eq!(world.balance("u1").await, "-31");
    world.verify().await;
}

#[tokio::test]
async fn a_dismissed_message_keeps_who_did_it_and_why() {
    let world = World::new().await;
    world.deliver(&b"{\xff half"[..]).await;
    for number in 1..=3 {
        world.deliver(lying(&format!("m{number}"))).await.data();
    }
    let all = waiting(&world, "").await;
    assert_eq!(all.len(), 4);
    let page = get(&world, "quarantine?limit=3").await;
    let cursor = page.data()["nextCursor"].as_str().expect("more");
    let unreadable = waiting(&world, &format!("limit=3&cursor={cursor}")).await;
    assert_eq!(unreadable, all[3..]);

    let path = format!("quarantine/{}", unreadable[0]);
    let shown = get(&world, &path).await;
    assert_eq!(shown.data()["item"]["reason"], "unreadable");
    assert_eq!(shown.data()["bodyBase64"], "e/8gaGFsZg==");
    let dismiss = async |reason: &str| {
        let path = format!("{path}/dismiss");
        let body = json!({ "reason": reason });
        world.admin(Method::POST, &path, &body).await
    };
    let silent = dismiss("").await;
    assert_eq!(silent.refusal(), (422, "invalid_field", Some("reason")));
    let dismissed = dismiss("a test").await;
    let data = dismissed.data();
    assert_eq!(
        (&data["status"], &data["resolvedBy"], &data["resolution"]),
        (&json!("dismissed"), &json!("operations"), &json!("a test"))
    );
    assert_eq!(dismiss("a test").await.refusal(), (404, "not_found", None));
    assert_eq!(waiting(&world, "").await, all[..3]);
}
