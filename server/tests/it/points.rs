//! `/api/user/points/*` and user tokens.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{World, answer, event};

use crate::SAMPLE;

#[tokio::test]
async fn a_balance_is_told_in_points_and_exactly() {
    let world = World::new().await;
    world.grant("user_789", "100.000000001").await;
    world.deliver(SAMPLE).await.data();
    let answer = world.get("/api/user/points/balance?userId=user_789").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(
        answer.body["data"].to_string(),
        json!({
            "available": 7.000_000_001,
            "availableNano": "7000000001",
            "balance": 7.000_000_001,
            "balanceNano": "7000000001",
            "debtLimit": 0,
            "held": 0,
            "heldNano": "0",
            "userId": "user_789",
        })
        .to_string()
    );
    let unknown = world.get("/api/user/points/balance?userId=nobody").await;
    assert_eq!(unknown.data()["balance"], 0);
}

#[tokio::test]
async fn an_estimate_names_its_basis() {
    let world = World::new().await;
    let estimate = async |query: &str| {
        let answer = world
            .get(&format!("/api/user/points/estimate?{query}"))
            .await;
        let data = answer.data();
        (
            data["basis"].as_str().expect("a basis").to_owned(),
            data["inputTokens"].as_u64(),
            data["outputTokens"].as_u64(),
            data["estimatedPoints"].to_string(),
        )
    };
    assert_eq!(
        estimate("modelName=gpt-4&inputTokens=1500&outputTokens=800").await,
        ("request".to_owned(), Some(1500), Some(800), "93".to_owned())
    );
    assert_eq!(
        estimate("modelName=gpt-4").await,
        ("default".to_owned(), Some(1000), Some(500), "60".to_owned())
    );
    world.deliver(SAMPLE).await.data();
    assert_eq!(
        estimate("modelName=GPT-4&userId=somebody").await,
        (
            "modelHistory".to_owned(),
            Some(1500),
            Some(800),
            "93".to_owned()
        )
    );
    assert_eq!(
        estimate("modelName=GPT-4&userId=user_789").await,
        (
            "userHistory".to_owned(),
            Some(1500),
            Some(800),
            "93".to_owned()
        )
    );
}

#[tokio::test]
async fn a_check_says_whether_the_call_is_affordable_and_what_would_be() {
    let world = World::new().await;
    world.grant("u1", "100").await;
    let check = async |input: u64, output: u64| {
        let body = json!({
            "modelName": "gpt-4",
            "estimatedInputTokens": input,
            "estimatedOutputTokens": output,
            "userId": "u1",
        });
        world.post("/api/user/points/check-balance", &body).await
    };
    let affordable = check(1500, 800).await;
    let data = affordable.data();
    assert_eq!(data["canProceed"], true);
    assert_eq!(data["available"], 100);
    assert_eq!(data["estimate"]["estimatedPoints"], 93);
    assert_eq!(data["shortfall"], 0);
    assert_eq!(data["affordableCalls"], 1);

    let exact = check(0, 1667).await;
    assert_eq!(exact.data()["canProceed"], false);
    assert_eq!(exact.data()["shortfall"].to_string(), "0.02");
    assert_eq!(exact.data()["affordableOutputTokens"], 1666);
    assert_eq!(check(0, 1666).await.data()["canProceed"], true);

    // A debt blocks even a call that costs nothing.
    world
        .deliver(event("m", "u1", "gpt-4", 10_000, 0))
        .await
        .data();
    assert_eq!(check(0, 0).await.data()["canProceed"], false);
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let world = World::new().await;
    for (path, code, field) in [
        ("balance", "invalid_field", "userId"),
        ("balance?userId=", "invalid_field", "userId"),
        ("balance?user_id=u1", "invalid_field", "user_id"),
        ("balance?userId=u1&extra=1", "invalid_field", "extra"),
        ("estimate", "invalid_field", "modelName"),
        (
            "estimate?modelName=unknown",
            "model_not_priced",
            "modelName",
        ),
        (
            "estimate?modelName=gpt-4&inputTokens=-1",
            "invalid_field",
            "inputTokens",
        ),
        (
            "estimate?modelName=gpt-4&outputTokens=1e3",
            "invalid_field",
            "outputTokens",
        ),
        (
            "estimate?modelName=gpt-4&input_tokens=1",
            "invalid_field",
            "input_tokens",
        ),
        ("history?userId=u1&limit=0", "invalid_field", "limit"),
        ("history?userId=u1&limit=101", "invalid_field", "limit"),
        ("history?userId=u1&cursor=x", "invalid_field", "cursor"),
        ("history?userId=u1&from=yesterday", "invalid_field", "from"),
        ("history?userId=u1&kind=gift", "invalid_field", "kind"),
    ] {
        let answer = world.get(&format!("/api/user/points/{path}")).await;
        assert_eq!(answer.refusal(), (422, code, Some(field)), "{path}");
    }
    let check = async |body: Value| world.post("/api/user/points/check-balance", &body).await;
    for (body, code, field) in [
        (json!({}), "invalid_field", "modelName"),
        (json!({ "modelName": 4 }), "invalid_field", "modelName"),
        (json!({ "modelName": "gpt-4" }), "invalid_field", "userId"),
        (
            json!({ "modelName": "x", "userId": "u1" }),
            "model_not_priced",
            "modelName",
        ),
        (
            json!({ "modelName": "gpt-4", "userId": "u1", "estimatedInputTokens": -5 }),
            "invalid_field",
            "estimatedInputTokens",
        ),
        (
            json!({ "modelName": "gpt-4", "userId": "u1", "estimatedInput": 5 }),
            "invalid_field",
            "estimatedInput",
        ),
        (
            json!({ "modelName": "gpt-4", "userId": "u1", "hold": "yes" }),
            "invalid_field",
            "hold",
        ),
        (
            json!({ "modelName": "gpt-4", "userId": "u1", "hold": true, "holdSeconds": 0 }),
            "invalid_field",
            "holdSeconds",
        ),
    ] {
        let text = body.to_string();
        let answer = check(body).await;
        assert_eq!(answer.refusal(), (422, code, Some(field)), "{text}");
    }
    assert_eq!(
        check(json!([])).await.refusal(),
        (400, "invalid_json", None)
    );
    let no_hold = json!({ "modelName": "gpt-4", "userId": "u1", "hold": false });
    assert_eq!(check(no_hold).await.status, 200);
}

#[tokio::test]
async fn history_is_told_in_pages_newest_first() {
    let world = World::new().await;
    world.price("other", "1", "1").await;
    world.grant("u1", "1000").await;
    for number in 0..25 {
        let model = if number % 5 == 0 { "other" } else { "gpt-4" };
        world
            .deliver(event(&format!("m{number}"), "u1", model, 1000, 0))
            .await
            .data();
    }
    let pages = async |query: &str| {
        let (mut entries, mut pages) = (Vec::new(), 0);
        let mut cursor = String::new();
        loop {
            let path =
                format!("/api/user/points/history?userId=u1&limit=10&{query}&cursor={cursor}");
            let answer = world.get(&path).await;
            let items = answer.data()["items"].as_array().expect("items");
            entries.extend(
                items
                    .iter()
                    .map(|item| item["entry"].as_i64().expect("a number")),
            );
            pages += 1;
            match answer.data()["nextCursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break (entries, pages),
            }
            // What happens between two pages moves nothing.
            if query.is_empty() {
                world
                    .deliver(event(&format!("late{pages}"), "u1", "gpt-4", 1, 0))
                    .await
                    .data();
            }
        }
    };
    let (entries, count) = pages("").await;
    assert_eq!(entries, (1..=26).rev().collect::<Vec<i64>>());
    assert_eq!(count, 3);

    let (others, _) = pages("modelName=OTHER").await;
    assert_eq!(others.len(), 5);
    let (grants, _) = pages("kind=grant").await;
    assert_eq!(grants, [1]);
    let (charges, _) = pages("kind=charge&modelName=gpt-4").await;
    assert_eq!(charges.len(), 22);

    let answer = world
        .get("/api/user/points/history?userId=u1&kind=charge&modelName=other&limit=1")
        .await;
    let item = &answer.data()["items"][0];
    assert_eq!(item["points"], -1);
    assert_eq!(item["kind"], "charge");
    assert_eq!(item["consumption"]["messageId"], "m20");
    assert_eq!(item["consumption"]["tokensUsed"], 1000);
    assert_eq!(item["consumption"]["lines"][0]["priceVersion"], 1);
}

/// Nothing is later than the last hour of the year 9999.
#[tokio::test]
async fn a_time_to_which_nothing_can_be_added_is_a_time_like_any_other() {
    let world = World::new().await;
    world.grant("u1", "1").await;
    for query in ["to=9999-12-31T23:30:00Z", "cursor=2-253402300799"] {
        let answer = world
            .get(&format!("/api/user/points/history?userId=u1&{query}"))
            .await;
        assert_eq!(answer.status, 200, "{query}");
    }
    let last_hour = "rollups?from=9999-12-31T00:00:00Z&to=9999-12-31T23:30:00Z";
    let answer = world.admin(Method::GET, last_hour, &Value::Null).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn history_can_be_cut_by_time() {
    let world = World::new().await;
    for day in 1..=3 {
        let mut body: Value = serde_json::from_str(SAMPLE).expect("the sample");
        body["data"]["message_id"] = format!("m{day}").into();
        body["data"]["timestamp"] = format!("2024-01-0{day}T12:00:00Z").into();
        world.deliver(body.to_string()).await.data();
    }
    let messages = async |query: &str| {
        let path = format!("/api/user/points/history?userId=user_789&{query}");
        let answer = world.get(&path).await;
        let items = answer.data()["items"].as_array().expect("items").clone();
        items
            .iter()
            .map(|item| {
                item["consumption"]["messageId"]
                    .as_str()
                    .expect("an id")
                    .to_owned()
            })
            .collect::<BTreeSet<String>>()
    };
    let set = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(
        messages("from=2024-01-02T12:00:00Z").await,
        set(&["m2", "m3"]),
        "from is included"
    );
    assert_eq!(
        messages("to=2024-01-02T12:00:00Z").await,
        set(&["m1"]),
        "to is not"
    );
    assert_eq!(
        messages("from=2024-01-02T00:00:00Z&to=2024-01-03T00:00:00Z").await,
        set(&["m2"])
    );
}

#[tokio::test]
async fn a_user_token_speaks_for_its_user_only() {
    let world = World::new().await;
    world.grant("u1", "5").await;
    let minted = world
        .post("/api/user/tokens", &json!({ "userId": "u1", "minutes": 5 }))
        .await;
    let token = minted.data()["token"].as_str().expect("a token").to_owned();
    assert!(minted.data()["expiresAt"].is_string());
    let get = async |path: &str| {
        let request = world.request(Method::GET, path).bearer_auth(&token);
        answer(request).await
    };
    let own = get("/api/user/points/balance").await;
    assert_eq!(own.data()["userId"], "u1");
    assert_eq!(own.data()["balance"], 5);
    assert_eq!(get("/api/user/points/balance?userId=u1").await.status, 200);
    assert_eq!(get("/api/user/points/history").await.status, 200);
    for path in ["balance?", "history?", "estimate?modelName=gpt-4&"] {
        let other = get(&format!("/api/user/points/{path}userId=u2")).await;
        assert_eq!(other.refusal(), (403, "other_user", None), "{path}");
    }
    let check = world
        .request(Method::POST, "/api/user/points/check-balance")
        .bearer_auth(&token);
    let own = answer(check.json(&json!({ "modelName": "gpt-4" }))).await;
    assert_eq!(own.data()["canProceed"], false);

    // It mints no tokens and delivers nothing.
    let mint = world
        .request(Method::POST, "/api/user/tokens")
        .bearer_auth(&token);
    let refused = answer(mint.json(&json!({ "userId": "u1" }))).await;
    assert_eq!(refused.refusal(), (403, "wrong_scope", None));
    let deliver = world
        .request(Method::POST, "/api/dify/webhook")
        .bearer_auth(&token);
    let refused = answer(deliver.body(SAMPLE)).await;
    assert_eq!(refused.refusal(), (401, "invalid_key", None));
}

#[tokio::test]
async fn only_those_who_may_ask_are_answered() {
    let world = World::new().await;
    let path = "/api/user/points/balance?userId=u1";
    let get = || world.request(Method::GET, path);
    assert_eq!(answer(get()).await.refusal(), (401, "missing_key", None));
    assert_eq!(
        answer(get().bearer_auth("nonsense")).await.refusal(),
        (401, "invalid_key", None)
    );
    assert_eq!(
        answer(get().bearer_auth(&world.webhook_key))
            .await
            .refusal(),
        (403, "wrong_scope", None)
    );
    assert_eq!(
        answer(get().header("cookie", "tollgate_session=forged"))
            .await
            .refusal(),
        (401, "sign_in_required", None)
    );
    assert_eq!(
        answer(get().bearer_auth(&world.admin_key)).await.status,
        200
    );
    for minutes in [json!(0), json!(1441), json!("x")] {
        let body = json!({ "userId": "u1", "minutes": minutes });
        let refused = world.post("/api/user/tokens", &body).await;
        assert_eq!(refused.refusal(), (422, "invalid_field", Some("minutes")));
    }
}

#[tokio::test]
async fn a_hold_is_made_settled_and_released_over_rest() {
    let world = World::new().await;
    world.grant("u1", "100").await;
    let check = json!({ "modelName": "gpt-4", "userId": "u1", "hold": true,
        "estimatedInputTokens": 1000, "estimatedOutputTokens": 500 });
    let hold = async || {
        let answer = world.post("/api/user/points/check-balance", &check).await;
        answer.data().clone()
    };
    let first = hold().await;
    assert_eq!(first["canProceed"], true);
    let first = format!(
        "/api/user/points/holds/{}",
        first["holdId"].as_str().unwrap()
    );
    let refused = hold().await;
    assert_eq!(
        (&refused["canProceed"], &refused["shortfall"]),
        (&json!(false), &json!(20))
    );
    assert_eq!(refused["holdId"], Value::Null);

    let used = json!({ "userId": "u1", "inputTokens": 1500, "outputTokens": 800 });
    let settled = world.post(&format!("{first}/settle"), &used).await;
    assert_eq!(
        (&settled.data()["status"], &settled.data()["balance"]),
        (&json!("charged"), &json!(7))
    );
    let again = world.post(&format!("{first}/settle"), &used).await;
    assert_eq!(
        (&again.data()["status"], &again.data()["balance"]),
        (&json!("duplicate"), &json!(7))
    );
    let shown = world.get(&format!("{first}?userId=u1")).await;
    assert_eq!(
        (&shown.data()["status"], &shown.data()["points"]),
        (&json!("settled"), &json!(60))
    );
    let late = world
        .post(&format!("{first}/release"), &json!({ "userId": "u1" }))
        .await;
    assert_eq!(late.refusal(), (409, "outdated", None));
    let unknown = world
        .post(
            "/api/user/points/holds/hold_x/release",
            &json!({ "userId": "u1" }),
        )
        .await;
    assert_eq!(unknown.refusal(), (404, "not_found", None));

    let minted = world
        .post("/api/user/tokens", &json!({ "userId": "u1" }))
        .await;
    let token = minted.data()["token"].as_str().unwrap().to_owned();
    let by_user = world
        .request(Method::POST, &format!("{first}/settle"))
        .bearer_auth(token)
        .json(&json!({ "inputTokens": 0, "outputTokens": 0 }));
    assert_eq!(
        answer(by_user).await.refusal().0,
        403,
        "a user would report nothing"
    );
    world.verify().await;
}
