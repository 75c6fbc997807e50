//! Credits, refunds and debt limits over REST.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, World, answer, event};

use crate::SAMPLE;

/// Posts with an idempotency key.
async fn once(world: &World, path: &str, key: &str, body: &Value) -> Answer {
    let request = world
        .request(Method::POST, path)
        .bearer_auth(&world.admin_key)
        .header("idempotency-key", key);
    answer(request.json(body)).await
}

#[tokio::test]
async fn a_refund_gives_back_what_was_charged_and_never_more() {
    let world = World::new().await;
    world.grant("user_789", "100").await;
    let charged = world.deliver(SAMPLE).await;
    let id = charged.data()["consumptionId"].as_str().expect("an id");
    let refund = async |body: Value| {
        let mut body = body;
        body["userId"] = "user_789".into();
        body["reason"] = "goodwill".into();
        world.admin(Method::POST, "refunds", &body).await
    };
    let part = refund(json!({ "consumptionId": id, "points": 0.5 })).await;
    assert_eq!(
        part.data().to_string(),
        json!({
            "balance": 7.5,
            "balanceNano": "7500000000",
            "correctsEntry": 2,
            "entry": 3,
            "kind": "refund",
            "points": 0.5,
            "pointsNano": "500000000",
            "userId": "user_789",
        })
        .to_string()
    );
    let too_much = refund(json!({ "entry": 2, "points": "92.500000001" })).await;
    assert_eq!(too_much.refusal(), (422, "invalid_field", Some("points")));
    let rest = refund(json!({ "entry": 2 })).await;
    assert_eq!(
        (&rest.data()["points"], &rest.data()["balance"]),
        (&json!(92.5), &json!(100))
    );
    let again = refund(json!({ "entry": 2 })).await;
    assert_eq!(again.refusal(), (422, "invalid_field", Some("points")));
    for nothing in [
        json!({ "entry": 1 }),
        json!({ "entry": 99 }),
        json!({ "consumptionId": "cons_0" }),
    ] {
        let answer = refund(nothing).await;
        assert_eq!(answer.refusal(), (404, "not_found", None));
    }
    assert_eq!(world.balance("user_789").await, "100");
    world.verify().await;
}

#[tokio::test]
async fn a_request_that_is_repeated_is_done_once() {
    let world = World::new().await;
    world.deliver(SAMPLE).await.data();
    let refund = json!({ "userId": "user_789", "entry": 1, "points": 10, "reason": "goodwill" });
    let answers = join_all((0..5).map(|_| once(&world, "/api/admin/refunds", "r1", &refund))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, answers[0].body);
    }
    let credit = json!({ "userId": "user_789", "points": 100, "reason": "gift" });
    for _ in 0..2 {
        let answer = once(&world, "/api/admin/credits", "c1", &credit).await;
        assert_eq!(answer.data()["balance"], 17);
    }
    assert_eq!(world.balance("user_789").await, "17");
    let more = json!({ "userId": "user_789", "points": 101, "reason": "gift" });
    for (path, key, body) in [
        ("/api/admin/credits", "c1", &more),
        ("/api/admin/refunds", "c1", &refund),
    ] {
        let answer = once(&world, path, key, body).await;
        assert_eq!(answer.refusal(), (409, "idempotency_key_reused", None));
    }
    let empty = once(&world, "/api/admin/credits", " ", &credit).await;
    assert_eq!(
        empty.refusal(),
        (422, "invalid_field", Some("Idempotency-Key"))
    );

    // A hold, too: a back end that lost the answer does not hold twice.
    let check = json!({ "userId": "user_789", "modelName": "gpt-4", "hold": true,
        "estimatedInputTokens": 500, "estimatedOutputTokens": 0 });
    let path = "/api/user/points/check-balance";
    let first = once(&world, path, "h1", &check).await;
    assert!(first.data()["holdId"].is_string());
    assert_eq!(once(&world, path, "h1", &check).await.body, first.body);
    let balance = world.get("/api/user/points/balance?userId=user_789").await;
    assert_eq!(balance.data()["held"], 15);
    world.verify().await;
}

#[tokio::test]
async fn credits_are_told_by_order_of_use_and_expire() {
    let world = World::new().await;
    let credit = async |points: Value, more: Value| {
        let mut body = json!({ "userId": "u1", "points": points, "reason": "test" });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        world.admin(Method::POST, "credits", &body).await
    };
    credit(json!(10), json!({ "isBought": true })).await.data();
    credit(json!("20.000000001"), json!({})).await.data();
    let expiring = json!({ "expiresAt": "2999-01-01T08:00:00+08:00" });
    credit(json!(5), expiring.clone()).await.data();
    let taken = credit(json!(-2), json!({})).await;
    assert_eq!(
        (&taken.data()["kind"], &taken.data()["balance"].to_string()),
        (&json!("adjustment"), &"33.000000001".to_owned())
    );
    let no_terms = credit(json!(-2), expiring).await;
    assert_eq!(no_terms.refusal(), (422, "invalid_field", Some("points")));

    let credits = async || {
        let answer = world
            .admin(Method::GET, "credits?userId=u1", &Value::Null)
            .await;
        let items = answer.data()["items"].as_array().expect("items").clone();
        items
            .iter()
            .map(|item| {
                let remaining = item["remainingNano"].as_str().expect("text").to_owned();
                (item["entry"].as_i64(), remaining)
            })
            .collect::<Vec<_>>()
    };
    let of = |entry, remaining: &str| (Some(entry), remaining.to_owned());
    assert_eq!(
        credits().await,
        [
            of(3, "3000000000"),
            of(2, "20000000001"),
            of(1, "10000000000")
        ]
    );
    let balance = async || {
        let answer = world.get("/api/user/points/balance?userId=u1").await;
        answer.data().clone()
    };
    assert_eq!(
        balance().await["expiring"],
        json!([{ "points": 3, "pointsNano": "3000000000", "expiresAt": "2999-01-01T00:00:00Z" }])
    );

    // The clock cannot be turned here, so the term is, and turned back for the verification.
    world
        .sql("update credit set expires_at = now() where expires_at is not null")
        .await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while balance().await["balanceNano"] != "30000000001" {
        assert!(Instant::now() < deadline, "the credit never expired");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(balance().await.get("expiring"), None);
    assert_eq!(
        credits().await,
        [of(2, "20000000001"), of(1, "10000000000")]
    );
    world
        .sql("update credit set expires_at = '2999-01-01T00:00:00Z' where expires_at is not null")
        .await;
    world.verify().await;
}

#[tokio::test]
async fn a_debt_limit_lets_new_calls_go_so_far_below_zero() {
    let world = World::new().await;
    let check = json!({ "userId": "u1", "modelName": "gpt-4", "estimatedInputTokens": 1000,
        "estimatedOutputTokens": 0 });
    let can_proceed = async || {
        let answer = world.post("/api/user/points/check-balance", &check).await;
        answer.data()["canProceed"].clone()
    };
    assert_eq!(can_proceed().await, false);
    let path = "accounts/u1/debt-limit";
    let set = world
        .admin(Method::PUT, path, &json!({ "debtLimit": 30 }))
        .await;
    assert_eq!(set.data()["debtLimit"], 30);
    assert_eq!(can_proceed().await, true);
    world
        .admin(Method::PUT, path, &json!({ "debtLimit": "29.999999999" }))
        .await
        .data();
    assert_eq!(can_proceed().await, false);
}

#[tokio::test]
async fn accounts_are_listed_in_pages() {
    let world = World::new().await;
    for user in ["ann", "bob", "bert"] {
        world
            .deliver(event(user, user, "gpt-4", 100, 0))
            .await
            .data();
    }
    let list = async |query: &str| {
        let answer = world
            .admin(Method::GET, &format!("accounts?{query}"), &Value::Null)
            .await;
        let data = answer.data();
        let items = data["items"].as_array().expect("items").clone();
        let users: Vec<String> = items
            .iter()
            .map(|item| item["userId"].as_str().expect("text").to_owned())
            .collect();
        (users, data["nextCursor"].as_str().map(str::to_owned))
    };
    let (first, cursor) = list("limit=2").await;
    assert_eq!(first, ["ann", "bert"]);
    let (second, end) = list(&format!("limit=2&cursor={}", cursor.expect("more"))).await;
    assert_eq!((second, end), (vec!["bob".to_owned()], None));
    assert_eq!(list("search=b").await.0, ["bert", "bob"]);
}
