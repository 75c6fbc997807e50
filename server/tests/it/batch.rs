//! `POST /api/dify/webhook/batch`.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, World, answer, event};

use crate::SAMPLE;

async fn deliver(world: &World, body: String) -> Answer {
    let request = world
        .request(Method::POST, "/api/dify/webhook/batch")
        .bearer_auth(&world.webhook_key)
        .body(body);
    answer(request).await
}

fn batch(events: &[String]) -> String {
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

fn counts(data: &Value) -> [u64; 4] {
    ["charged", "duplicate", "quarantined", "failed"]
        .map(|name| data[name].as_u64().expect("a count"))
}

#[tokio::test]
async fn each_event_has_its_own_answer_and_none_spoils_another() {
    let world = World::new().await;
    world.grant("user_789", "1000").await;
    let other_numbers = SAMPLE.replace("1500", "1501").replace("2300", "2301");
    let events = [
        SAMPLE.to_owned(),
        SAMPLE.to_owned(),
        other_numbers,
        event("m1", "u1", "unheard-of", 10, 10),
        json!({ "event": "message_end", "data": { "message_id": "m2" } }).to_string(),
        "42".to_owned(),
        event("m3", "u2", "gpt-4", 1000, 0),
    ];
    let first = deliver(&world, batch(&events)).await;
    assert_eq!(first.status, 200);
    let data = first.data();
    assert_eq!(counts(data), [2, 1, 1, 3]);
    let results = data["results"].as_array().expect("results");
    assert_eq!(results.len(), events.len());
    assert_eq!(results[0]["status"], "charged");
    assert_eq!(results[0]["pointsDeducted"], 93);
    assert_eq!(results[0]["balance"], 907);
    assert_eq!(results[1]["status"], "duplicate");
    assert_eq!(results[1]["consumptionId"], results[0]["consumptionId"]);
    assert_eq!(results[2]["error"]["code"], "message_conflict");
    assert_eq!(results[3]["status"], "quarantined");
    assert_eq!(results[3]["reason"], "unknown_model");
    assert_eq!(results[4]["success"], false);
    assert_eq!(results[4]["error"]["field"], "data.user_id");
    assert_eq!(results[5]["error"]["field"], "event");
    assert_eq!(results[6]["pointsDeducted"], 30);

    let again = deliver(&world, batch(&events)).await;
    assert_eq!(
        counts(again.data()),
        [0, 3, 1, 3],
        "nothing is charged twice"
    );
    assert_eq!(world.balance("user_789").await, "907");
    assert_eq!(world.balance("u2").await, "-30");
    // Every event of both deliveries left its row.
    world.deliveries(2 * events.len()).await;
    world.verify().await;
}

#[tokio::test]
async fn a_thousand_events_are_charged_and_one_more_is_refused() {
    let world = World::new().await;
    let events: Vec<_> = (0..1001)
        .map(|n| event(&format!("m{n}"), &format!("u{}", n % 7), "gpt-4", 100, 0))
        .collect();
    let too_many = deliver(&world, batch(&events)).await;
    assert_eq!(
        too_many.refusal(),
        (422, "invalid_field", Some("events")),
        "nothing of it is charged"
    );
    let all = deliver(&world, batch(&events[..1000])).await;
    assert_eq!(counts(all.data()), [1000, 0, 0, 0]);
    let mut total = 0.0;
    for n in 0..7 {
        let balance = world.balance(&format!("u{n}")).await;
        total += balance.parse::<f64>().expect("a balance");
    }
    assert!((total + 3000.0).abs() < 1e-9, "{total}");
    world.verify().await;
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_by_name_and_kept() {
    let world = World::new().await;
    for (body, expected) in [
        ("{", (400, "invalid_json", None)),
        ("[]", (422, "invalid_field", Some("events"))),
        ("{}", (422, "invalid_field", Some("events"))),
        (r#"{"events":7}"#, (422, "invalid_field", Some("events"))),
        (r#"{"events":[]}"#, (422, "invalid_field", Some("events"))),
    ] {
        assert_eq!(
            deliver(&world, body.into()).await.refusal(),
            expected,
            "{body}"
        );
    }
    world.deliveries(5).await;
    let with_points_key = world
        .post("/api/dify/webhook/batch", &json!({ "events": [] }))
        .await;
    assert_eq!(with_points_key.refusal(), (403, "wrong_scope", None));
    let without_key = answer(world.request(Method::POST, "/api/dify/webhook/batch")).await;
    assert_eq!(without_key.refusal(), (401, "missing_key", None));
}
