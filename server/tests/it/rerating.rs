//! Re-rating over REST, its job, and the sums that show it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, World, event};

async fn get(world: &World, path: &str) -> Answer {
    world.admin(Method::GET, path, &Value::Null).await
}

/// Starts a re-rating and waits until its job has ended.
async fn apply(world: &World, body: &Value) -> Value {
    let begun = world.admin(Method::POST, "reratings", body).await;
    assert_eq!(begun.status, 202);
    let id = begun.data()["jobId"].as_str().expect("an id").to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let job = get(world, &format!("jobs/{id}")).await.data().clone();
        if !job["finishedAt"].is_null() {
            return job;
        }
        assert!(Instant::now() < deadline, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_preview_tells_what_applying_enters_and_applying_twice_has_no_effect() {
    let world = World::new().await;
    world.price("other", "1", "1").await;
    for (message, user, model) in [
        ("m1", "ann", "gpt-4"),
        ("m2", "ann", "GPT-4"),
        ("m3", "bob", "gpt-4"),
        ("m4", "bob", "other"),
    ] {
        let body = event(message, user, model, 1000, 0);
        world.deliver(body).await.data();
    }
    world.price("gpt-4", "20", "60").await;
    let body = json!({
        "from": "2020-01-01T00:00:00Z",
        "to": "2999-01-01T00:00:00Z",
        "prices": [{ "modelName": "gpt-4", "version": 2 }],
        "reason": "the price was wrong",
    });
    let preview = async |more: Value| {
        let mut body = body.clone();
        let object = body.as_object_mut().expect("an object");
        object.remove("reason");
        object.extend(more.as_object().expect("an object").clone());
        let answer = world.admin(Method::POST, "reratings/preview", &body).await;
        answer.data().clone()
    };
    let first = preview(json!({ "limit": 1 })).await;
    assert_eq!(
        (&first["users"], &first["messages"], &first["pointsNano"]),
        (&json!(2), &json!(3), &json!("30000000000"))
    );
    assert_eq!(
        first["items"],
        json!([{ "userId": "ann", "messages": 2, "points": 20, "pointsNano": "20000000000" }])
    );
    let second = preview(json!({ "cursor": first["nextCursor"] })).await;
    assert_eq!(second["items"][0]["userId"], "bob");
    assert_eq!(second["nextCursor"], Value::Null);
    assert_eq!(
        world.balance("ann").await,
        "-60",
        "a preview enters nothing"
    );

    for _ in 0..2 {
        let job = apply(&world, &body).await;
        assert_eq!(
            (&job["kind"], &job["error"]),
            (&json!("rerate"), &Value::Null)
        );
        assert_eq!(world.balance("ann").await, "-40");
        assert_eq!(world.balance("bob").await, "-21");
    }
    assert_eq!(preview(json!({})).await["users"], 0);

    // Both re-ratings, and the release that each price began.
    let jobs = get(&world, "jobs?limit=3").await;
    let kinds: Vec<_> = jobs.data()["items"].as_array().expect("items").clone();
    assert_eq!(
        kinds.iter().map(|job| &job["kind"]).collect::<Vec<_>>(),
        ["rerate", "rerate", "release"]
    );
    let cursor = jobs.data()["nextCursor"].as_str().expect("more");
    let rest = get(&world, &format!("jobs?cursor={cursor}")).await;
    assert_eq!(rest.data()["items"].as_array().map(Vec::len), Some(2));

    let sums = async |query: &str| {
        let answer = get(&world, &format!("rollups?{query}")).await;
        answer.data().clone()
    };
    let all = sums("").await;
    let points = |sums: &Value, list: &str| {
        let sums = sums[list].as_array().expect("sums").clone();
        sums.iter()
            .map(|sum| {
                let name = ["modelName", "source", "kind"]
                    .iter()
                    .find_map(|name| sum[name].as_str());
                let points = sum["points"].to_string();
                (name.expect("a name").to_owned(), points)
            })
            .collect::<Vec<_>>()
    };
    let of = |name: &str, points: &str| (name.to_owned(), points.to_owned());
    assert_eq!(
        points(&all, "totals"),
        [of("charge", "-91"), of("rerate", "30")]
    );
    assert_eq!(
        points(&all, "models"),
        [of("gpt-4", "-90"), of("other", "-1")]
    );
    assert_eq!(points(&all, "sources"), [of("dify", "-91")]);
    let ann = sums("by=day&userId=ann&kind=rerate").await;
    assert_eq!(points(&ann, "totals"), [of("rerate", "20")]);
    assert_eq!(ann["periods"].as_array().map(Vec::len), Some(1));
    world.verify().await;
}
