//! What holds for every address under `/api/admin`: who may ask, and how a refusal is told.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::{World, answer};

const ID: &str = "01900000-0000-7000-8000-000000000000";

/// Every address, with a body that would do.
fn addresses() -> Vec<(Method, String, Value)> {
    let range = json!({
        "from": "2026-01-01T00:00:00Z",
        "to": "2026-02-01T00:00:00Z",
        "prices": [{ "modelName": "gpt-4" }],
    });
    let mut apply = range.clone();
    apply["reason"] = "test".into();
    [
        (Method::GET, "accounts".to_owned(), Value::Null),
        (
            Method::PUT,
            "accounts/u1/debt-limit".to_owned(),
            json!({ "debtLimit": 1 }),
        ),
        (Method::GET, "credits?userId=u1".to_owned(), Value::Null),
        (
            Method::POST,
            "credits".to_owned(),
            json!({ "userId": "u1", "points": 1, "reason": "test" }),
        ),
        (
            Method::POST,
            "refunds".to_owned(),
            json!({ "userId": "u1", "entry": 1, "reason": "test" }),
        ),
        (Method::GET, "quarantine".to_owned(), Value::Null),
        (Method::GET, format!("quarantine/{ID}"), Value::Null),
        (Method::POST, format!("quarantine/{ID}/charge"), Value::Null),
        (Method::POST, format!("quarantine/{ID}/correct"), json!({})),
        (
            Method::POST,
            format!("quarantine/{ID}/dismiss"),
            json!({ "reason": "test" }),
        ),
        (Method::POST, "reratings/preview".to_owned(), range),
        (Method::POST, "reratings".to_owned(), apply),
        (Method::GET, "jobs".to_owned(), Value::Null),
        (Method::GET, format!("jobs/{ID}"), Value::Null),
        (Method::GET, "rollups".to_owned(), Value::Null),
        (Method::GET, "messages/m1/reports".to_owned(), Value::Null),
        (Method::GET, "differences".to_owned(), Value::Null),
    ]
    .into()
}

fn request(world: &World, method: Method, path: &str, body: &Value) -> RequestBuilder {
    let request = world.request(method, &format!("/api/admin/{path}"));
    match body {
        Value::Null => request,
        body => request.json(body),
    }
}

#[tokio::test]
async fn only_administrators_are_let_in() {
    let world = World::new().await;
    let token = world
        .post("/api/user/tokens", &json!({ "userId": "u1" }))
        .await;
    let token = token.data()["token"].as_str().expect("a token").to_owned();
    let cookie = world.sign_in("admin").await;
    for (method, path, body) in addresses() {
        let ask = |credential: Option<&str>| {
            let request = request(&world, method.clone(), &path, &body);
            match credential {
                Some(credential) => request.bearer_auth(credential),
                None => request,
            }
        };
        let refusal = async |request| {
            let answer = answer(request).await;
            let (status, code, _) = answer.refusal();
            (status, code.to_owned())
        };
        let what = format!("{method} {path}");
        assert_eq!(
            refusal(ask(None)).await,
            (401, "missing_key".to_owned()),
            "{what}"
        );
        assert_eq!(
            refusal(ask(Some("tg_ad_nonsense"))).await,
            (401, "invalid_key".to_owned()),
            "{what}"
        );
        for credential in [&world.webhook_key, &world.points_key, &token] {
            assert_eq!(
                refusal(ask(Some(credential))).await,
                (403, "wrong_scope".to_owned()),
                "{what}"
            );
        }
        let forged = ask(None)
            .header("cookie", "tollgate_session=forged")
            .header("sec-fetch-site", "same-origin");
        assert_eq!(
            refusal(forged).await,
            (401, "sign_in_required".to_owned()),
            "{what}"
        );
        if method != Method::GET {
            let elsewhere = ask(None)
                .header("cookie", &cookie)
                .header("sec-fetch-site", "cross-site");
            assert_eq!(
                refusal(elsewhere).await,
                (403, "cross_site".to_owned()),
                "{what}"
            );
        }
        // Those who may are past the door, whatever awaits them there.
        for allowed in [
            ask(Some(&world.admin_key)),
            ask(None)
                .header("cookie", &cookie)
                .header("sec-fetch-site", "same-origin"),
        ] {
            let status = answer(allowed).await.status.as_u16();
            assert!([200, 202, 404, 422].contains(&status), "{status} {what}");
        }
    }
    world.verify().await;
}

#[tokio::test]
async fn a_bad_field_is_named() {
    let world = World::new().await;
    let credit = |field: &str, value: Value| {
        let mut body = json!({ "userId": "u1", "points": 1, "reason": "test" });
        body[field] = value;
        (Method::POST, "credits", body)
    };
    let rerating = |field: &str, value: Value| {
        let mut body = json!({
            "from": "2026-01-01T00:00:00Z",
            "to": "2026-02-01T00:00:00Z",
            "prices": [{ "modelName": "gpt-4" }],
            "reason": "test",
        });
        body[field] = value;
        (Method::POST, "reratings", body)
    };
    let get = |path: &'static str| (Method::GET, path, Value::Null);
    for ((method, path, body), field) in [
        (credit("userId", json!(null)), "userId"),
        (credit("points", json!(null)), "points"),
        (credit("points", json!(0)), "points"),
        (credit("points", json!("many")), "points"),
        (credit("points", json!(0.000_000_000_1)), "points"),
        (credit("reason", json!(" ")), "reason"),
        (credit("isBought", json!("yes")), "isBought"),
        (
            credit("expiresAt", json!("2020-01-01T00:00:00Z")),
            "expiresAt",
        ),
        (credit("expiresAt", json!("tomorrow")), "expiresAt"),
        (credit("expires", json!("2099-01-01T00:00:00Z")), "expires"),
        (
            (
                Method::POST,
                "refunds",
                json!({ "userId": "u1", "reason": "test" }),
            ),
            "entry",
        ),
        (
            (
                Method::POST,
                "refunds",
                json!({ "userId": "u1", "reason": "test", "entry": 1, "consumptionId": "cons_1" }),
            ),
            "consumptionId",
        ),
        (
            (
                Method::PUT,
                "accounts/u1/debt-limit",
                json!({ "debtLimit": -1 }),
            ),
            "debtLimit",
        ),
        (
            (
                Method::PUT,
                "accounts/%20/debt-limit",
                json!({ "debtLimit": 1 }),
            ),
            "userId",
        ),
        (get("credits"), "userId"),
        (get("accounts?limit=101"), "limit"),
        (get("accounts?userId=u1"), "userId"),
        (get("accounts?search=%00"), "search"),
        (get("rollups?source=%00"), "source"),
        (get("messages/%00/reports"), "messageId"),
        (get("quarantine?reason=dislike"), "reason"),
        (get("quarantine?cursor=x"), "cursor"),
        (get("jobs?cursor=x"), "cursor"),
        (get("rollups?by=week"), "by"),
        (get("rollups?from=2020-01-01T00:00:00Z"), "by"),
        (
            get("rollups?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"),
            "to",
        ),
        (rerating("from", json!("2026-03-01T00:00:00Z")), "to"),
        (rerating("from", json!(null)), "from"),
        (rerating("prices", json!([])), "prices"),
        (
            rerating("prices", json!([{ "modelName": "gpt-4", "v": 1 }])),
            "prices.0.v",
        ),
        (
            rerating(
                "prices",
                json!([{ "modelName": "gpt-4" }, { "modelName": "GPT-4" }]),
            ),
            "prices.1.modelName",
        ),
        (rerating("reason", json!(null)), "reason"),
    ] {
        let answer = world.admin(method, path, &body).await;
        assert_eq!(
            answer.refusal(),
            (422, "invalid_field", Some(field)),
            "{path} {body}"
        );
    }
    let unpriced = rerating("prices", json!([{ "modelName": "gpt-4", "version": 2 }]));
    let answer = world.admin(unpriced.0, unpriced.1, &unpriced.2).await;
    assert_eq!(
        answer.refusal(),
        (422, "model_not_priced", Some("prices.0.modelName"))
    );
    for (method, path) in [
        (Method::GET, format!("quarantine/{ID}")),
        (Method::GET, "quarantine/x".to_owned()),
        (Method::GET, format!("jobs/{ID}")),
        (Method::POST, format!("quarantine/{ID}/charge")),
        (Method::GET, "nothing".to_owned()),
    ] {
        let answer = world.admin(method, &path, &Value::Null).await;
        assert_eq!(answer.refusal(), (404, "not_found", None), "{path}");
    }
    assert_eq!(world.balance("u1").await, "0");
}

#[tokio::test]
async fn administrators_are_answered_in_their_language() {
    let world = World::new().await;
    let message = async |method: Method, path: &str, body: Value| {
        let request = request(&world, method, path, &body)
            .bearer_auth(&world.admin_key)
            .header("accept-language", "zh-CN");
        let answer = answer(request).await;
        answer.body["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    };
    for (method, path, body) in addresses() {
        let told = message(method, &path, body).await;
        assert!(
            told.chars().any(|letter| ('一'..='龥').contains(&letter)),
            "{path}: {told}"
        );
    }
    let credit = json!({ "userId": "u1", "points": 1, "reason": "test" });
    assert_eq!(message(Method::POST, "credits", credit).await, "积分已发放");
    let none = json!({ "userId": "u1", "points": 0, "reason": "test" });
    assert_eq!(
        message(Method::POST, "credits", none).await,
        "points：必须大于 0。"
    );
}

#[tokio::test]
async fn the_audit_log_names_who_did_it_and_from_where() {
    let world = World::new().await;
    let body = json!({ "userId": "u1", "points": 1, "reason": "test" });
    world.admin(Method::POST, "credits", &body).await.data();
    let by_cookie = world
        .request(Method::POST, "/api/admin/credits")
        .header("cookie", world.sign_in("alice").await)
        .header("sec-fetch-site", "same-origin");
    answer(by_cookie.json(&body)).await.data();
    let log = world.ledger().audit_log(None, 10).await.expect("a log");
    let actors: Vec<(&str, &str)> = log
        .items
        .iter()
        .filter(|entry| entry.action == "points.add")
        .map(|entry| (entry.actor.as_str(), entry.origin.as_str()))
        .collect();
    assert_eq!(
        actors,
        [("alice", "127.0.0.1"), ("operations", "127.0.0.1")]
    );
}
