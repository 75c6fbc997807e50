//! `POST /api/dify/webhook`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use ledger::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::api::Outcome;
use shared::source::SourceEntrance;
use testkit::{Answer, World, actor, answer, event};
use time::OffsetDateTime;

use crate::{DIFY_MESSAGE_END, SAMPLE};

#[tokio::test]
async fn the_sample_event_charges_93_points_once() {
    let world = World::new().await;
    world.grant("user_789", "1000").await;

    let first = world.deliver(SAMPLE).await;
    assert_eq!(first.status, 200);
    assert_eq!(
        first.body["message"],
        "Token consumption processed successfully"
    );
    let data = first.data();
    assert_eq!(data["status"], "charged");
    assert_eq!(data["pointsDeducted"], 93);
    assert_eq!(data["pointsDeductedNano"], "93000000000");
    assert_eq!(data["tokensUsed"], 2300);
    assert_eq!(data["balance"], 907);
    assert!(
        data["consumptionId"]
            .as_str()
            .expect("an id")
            .starts_with("cons_")
    );

    let mut second = world.deliver(SAMPLE).await;
    assert_eq!(second.status, 200);
    assert_eq!(second.data()["status"], "duplicate");
    second.body["data"]["status"] = "charged".into();
    assert_eq!(second.body, first.body, "the same answer again");
    assert_eq!(world.balance("user_789").await, "907");
    world.verify().await;
}

#[tokio::test]
async fn difys_own_event_is_accepted_with_model_and_user_beside_it() {
    let world = World::new().await;
    world.price("gpt-4o", "10", "20").await;
    let event: Value = serde_json::from_str(DIFY_MESSAGE_END).expect("a fixture");
    let beside = json!({ "user_id": "user_1", "model_name": "gpt-4o" });

    let mut at_top = event.clone();
    at_top
        .as_object_mut()
        .expect("an object")
        .extend(beside.as_object().expect("an object").clone());
    let first = world.deliver(at_top.to_string()).await;
    // 1,033 × 0.01 + 128 × 0.02
    assert_eq!(first.data()["pointsDeducted"].to_string(), "12.89");
    assert_eq!(first.data()["status"], "charged");

    let mut in_data = event.clone();
    in_data["data"] = beside;
    let second = world.deliver(in_data.to_string()).await;
    assert_eq!(second.data()["status"], "duplicate");

    let alone = world.deliver(event.to_string()).await;
    assert_eq!(
        alone.refusal(),
        (422, "invalid_field", Some("user_id")),
        "Dify's event names neither user nor model"
    );
    assert_eq!(world.balance("user_1").await, "-12.89");
    world.verify().await;
}

#[tokio::test]
async fn the_same_message_with_other_numbers_is_a_conflict() {
    let world = World::new().await;
    world.deliver(SAMPLE).await;
    let other = SAMPLE.replace("1500", "1501").replace("2300", "2301");
    let answer = world.deliver(other).await;
    assert_eq!(answer.refusal(), (409, "message_conflict", None));
    assert_eq!(world.balance("user_789").await, "-93");
    let deliveries = world.deliveries(2).await;
    let outcomes: Vec<Outcome> = deliveries.iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Outcome::Charged, Outcome::Conflict]);
}

#[tokio::test]
async fn an_unknown_model_waits_until_it_has_a_price() {
    let world = World::new().await;
    let body = event("m1", "u1", "brand-new", 1000, 1000);
    let waiting = world.deliver(body.clone()).await;
    assert_eq!(waiting.status, 202);
    let data = waiting.data();
    assert_eq!(data["status"], "quarantined");
    assert_eq!(data["reason"], "unknown_model");
    assert_eq!(data["pointsDeducted"], 0);
    assert_eq!(data["consumptionId"], Value::Null);
    assert_eq!(world.balance("u1").await, "0");

    world.price("Brand-New", "1", "2").await;
    assert_eq!(world.balance("u1").await, "-3");
    let again = world.deliver(body).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.data()["status"], "duplicate");
    assert_eq!(again.data()["pointsDeducted"], 3);
    world.verify().await;
}

#[tokio::test]
async fn a_bad_body_is_refused_by_name_and_kept() {
    let world = World::new().await;
    let sample: Value = serde_json::from_str(SAMPLE).expect("the sample");
    let with = |path: &str, value: Value| {
        let mut event = sample.clone();
        *event.pointer_mut(path).expect("a field") = value;
        event.to_string()
    };
    let without = |name: &str| {
        let mut event = sample.clone();
        event["data"].as_object_mut().expect("data").remove(name);
        event.to_string()
    };
    let long = "x".repeat(256);
    let cases: Vec<(String, u16, &str, Option<&str>)> = vec![
        (String::new(), 400, "invalid_json", None),
        ("{".into(), 400, "invalid_json", None),
        ("\u{0}".into(), 400, "invalid_json", None),
        ("[]".into(), 422, "invalid_field", Some("event")),
        ("{}".into(), 422, "invalid_field", Some("event")),
        (
            json!({ "event": "message_end" }).to_string(),
            422,
            "invalid_field",
            Some("data"),
        ),
        (
            with("/event", json!("message")),
            422,
            "invalid_field",
            Some("event"),
        ),
        (
            with("/data/message_id", json!(7)),
            422,
            "invalid_field",
            Some("data.message_id"),
        ),
        (
            with("/data/message_id", json!("")),
            422,
            "invalid_field",
            Some("data.message_id"),
        ),
        (
            with("/data/message_id", json!("a\nb")),
            422,
            "invalid_field",
            Some("data.message_id"),
        ),
        (
            with("/data/user_id", json!(long)),
            422,
            "invalid_field",
            Some("data.user_id"),
        ),
        (
            without("user_id"),
            422,
            "invalid_field",
            Some("data.user_id"),
        ),
        (
            without("model_name"),
            422,
            "invalid_field",
            Some("data.model_name"),
        ),
        (
            without("input_tokens"),
            422,
            "invalid_field",
            Some("data.input_tokens"),
        ),
        (
            with("/data/input_tokens", json!(-1)),
            422,
            "invalid_field",
            Some("data.input_tokens"),
        ),
        (
            with("/data/output_tokens", json!(1.5)),
            422,
            "invalid_field",
            Some("data.output_tokens"),
        ),
        (
            with("/data/output_tokens", json!("800")),
            422,
            "invalid_field",
            Some("data.output_tokens"),
        ),
        (
            with("/data/output_tokens", json!(u64::MAX)),
            422,
            "invalid_field",
            Some("data.output_tokens"),
        ),
        (
            with("/data/timestamp", json!("yesterday")),
            422,
            "invalid_field",
            Some("data.timestamp"),
        ),
    ];
    for (body, status, code, field) in &cases {
        let answer = world.deliver(body.clone()).await;
        assert_eq!(answer.refusal(), (*status, *code, *field), "{body}");
    }
    // Each left a row.
    let deliveries = world.deliveries(cases.len()).await;
    for (event, (body, _, code, _)) in deliveries.iter().zip(&cases) {
        assert_eq!(event.outcome, Outcome::Rejected, "{body}");
        assert_eq!(event.reason.as_deref(), Some(*code), "{body}");
        assert_eq!(event.source, "dify");
    }
    assert_eq!(world.balance("user_789").await, "0");
}

#[tokio::test]
async fn only_a_key_for_it_may_deliver() {
    let world = World::new().await;
    let post = || {
        world
            .request(Method::POST, "/api/dify/webhook")
            .body(SAMPLE)
    };
    let missing = answer(post()).await;
    assert_eq!(missing.refusal(), (401, "missing_key", None));
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    let unknown = answer(post().bearer_auth("prome_wh_key_123456")).await;
    assert_eq!(unknown.refusal(), (401, "invalid_key", None));
    let points = answer(post().bearer_auth(&world.points_key)).await;
    assert_eq!(points.refusal(), (403, "wrong_scope", None));
    assert_eq!(world.balance("user_789").await, "0");

    let other_header = answer(post().header("X-API-Key", &world.webhook_key)).await;
    assert_eq!(other_header.data()["status"], "charged");
    let admin = answer(post().bearer_auth(&world.admin_key)).await;
    assert_eq!(admin.data()["status"], "duplicate");
}

#[tokio::test]
async fn a_revoked_key_delivers_nothing() {
    let world = World::new().await;
    world.deliver(SAMPLE).await.data();
    let keys = world.ledger().api_keys().await.expect("keys");
    let key = keys.iter().find(|key| key.name == "dify").expect("a key");
    let revoked = world.ledger().revoke_api_key(key.id, &actor()).await;
    revoked.expect("revoked");
    let answer = world.deliver(SAMPLE).await;
    assert_eq!(answer.refusal(), (401, "invalid_key", None));
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_refused_and_its_beginning_kept() {
    let world = World::new().await;
    let large = format!("{}{SAMPLE}", " ".repeat(1024 * 1024));
    let refused = world.deliver(large.clone()).await;
    assert_eq!(refused.refusal(), (413, "payload_too_large", None));
    // The same without a length in advance.
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = large
        .as_bytes()
        .chunks(100_000)
        .map(|chunk| Ok(chunk.to_vec()))
        .collect();
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let refused = world.deliver(stream).await;
    assert_eq!(refused.refusal(), (413, "payload_too_large", None));
    for event in world.deliveries(2).await {
        assert_eq!(event.outcome, Outcome::Rejected);
    }

    let largest = format!("{}{SAMPLE}", " ".repeat(1024 * 1024 - SAMPLE.len()));
    assert_eq!(world.deliver(largest).await.data()["status"], "charged");
}

struct Signer {
    key: String,
    secret: Vec<u8>,
}

impl Signer {
    async fn new(world: &World, is_required: bool) -> Self {
        let created = world
            .ledger()
            .create_api_key(
                "signed",
                Scope::Entrance(SourceEntrance::Webhook),
                is_required,
                &actor(),
            )
            .await
            .expect("a key");
        let secret = created.signing_secret.strip_prefix("whsec_");
        Self {
            secret: STANDARD.decode(secret.expect("a prefix")).expect("base64"),
            key: created.key,
        }
    }

    fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("a key");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    async fn deliver(&self, world: &World, body: &str, timestamp: i64, signature: &str) -> Answer {
        let request = world
            .request(Method::POST, "/api/dify/webhook")
            .bearer_auth(&self.key)
            .header("webhook-id", "msg_1")
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body.to_owned());
        answer(request).await
    }
}

#[tokio::test]
async fn a_key_can_require_signatures() {
    let world = World::new().await;
    let signer = Signer::new(&world, true).await;
    let now = OffsetDateTime::now_utc().unix_timestamp();

    let unsigned = world
        .request(Method::POST, "/api/dify/webhook")
        .bearer_auth(&signer.key)
        .body(SAMPLE);
    assert_eq!(
        answer(unsigned).await.refusal(),
        (401, "missing_signature", None)
    );
    let wrong = signer.sign("msg_2", now, SAMPLE);
    let refused = signer.deliver(&world, SAMPLE, now, &wrong).await;
    assert_eq!(refused.refusal(), (401, "invalid_signature", None));
    let old = now - 301;
    let stale = signer.sign("msg_1", old, SAMPLE);
    let refused = signer.deliver(&world, SAMPLE, old, &stale).await;
    assert_eq!(refused.refusal(), (401, "stale_timestamp", None));
    let good = signer.sign("msg_1", now, SAMPLE);
    let tampered = SAMPLE.replace("800", "8");
    let refused = signer.deliver(&world, &tampered, now, &good).await;
    assert_eq!(refused.refusal(), (401, "invalid_signature", None));
    assert_eq!(world.balance("user_789").await, "0");
    // Each left a row.
    world.deliveries(4).await;

    let both = format!("v1,AAAA {good}");
    let accepted = signer.deliver(&world, SAMPLE, now, &both).await;
    assert_eq!(accepted.data()["status"], "charged");
}

#[tokio::test]
async fn a_signature_that_is_there_is_verified_even_where_none_is_required() {
    let world = World::new().await;
    let signer = Signer::new(&world, false).await;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let refused = signer.deliver(&world, SAMPLE, now, "v1,AAAA").await;
    assert_eq!(refused.refusal(), (401, "invalid_signature", None));
    let good = signer.sign("msg_1", now, SAMPLE);
    let accepted = signer.deliver(&world, SAMPLE, now, &good).await;
    assert_eq!(accepted.data()["status"], "charged");
}

#[tokio::test]
async fn two_hundred_events_at_once_for_one_user_lose_no_update() {
    let world = World::new().await;
    world.grant("u1", "10000").await;
    let deliveries = (0..200).map(|number| {
        let body = event(&format!("m{number}"), "u1", "gpt-4", 1000, 0);
        world.deliver(body)
    });
    for answer in join_all(deliveries).await {
        assert_eq!(answer.data()["status"], "charged");
        assert_eq!(answer.data()["pointsDeducted"], 30);
    }
    assert_eq!(world.balance("u1").await, "4000");
    world.verify().await;
}

#[tokio::test]
async fn two_events_at_once_for_one_user_both_count() {
    let world = World::new().await;
    let (a, b) = tokio::join!(
        world.deliver(event("a", "u1", "gpt-4", 1000, 0)),
        world.deliver(event("b", "u1", "gpt-4", 0, 1000)),
    );
    let mut balances = [
        a.data()["balance"].to_string(),
        b.data()["balance"].to_string(),
    ];
    balances.sort();
    assert!(
        balances == ["-30", "-90"] || balances == ["-60", "-90"],
        "one came after the other: {balances:?}"
    );
    assert_eq!(world.balance("u1").await, "-90");
}

#[tokio::test]
async fn one_message_a_hundred_times_at_once_is_charged_once() {
    let world = World::new().await;
    let answers = join_all((0..100).map(|_| world.deliver(SAMPLE))).await;
    let mut charged = 0;
    for answer in &answers {
        assert_eq!(answer.data()["pointsDeducted"], 93);
        assert_eq!(
            answer.data()["consumptionId"],
            answers[0].data()["consumptionId"]
        );
        charged += usize::from(answer.data()["status"] == "charged");
    }
    assert_eq!(charged, 1);
    assert_eq!(world.balance("user_789").await, "-93");
    world.verify().await;
}
