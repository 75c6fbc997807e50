//! Two processes of the operating system on one database behave as one.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{World, answer, deadlocks, event};
use tokio::task::spawn_blocking;

use crate::command_line::tollgate;
use crate::crash::Running;

struct Process {
    server: Running,
}

impl Process {
    async fn start(world: &World) -> Self {
        let mut command = tollgate(&["serve"]);
        command
            .env("DATABASE_URL", &world.database_url)
            .env("TOLLGATE_ADDR", "127.0.0.1:0");
        let server = spawn_blocking(|| Running::start(command)).await;
        Self {
            server: server.expect("a server"),
        }
    }

    async fn post(&self, world: &World, key: &str, path: &str, body: String) -> (u16, Value) {
        let request = world.client.post(format!("{}{path}", self.server.url));
        let answer = answer(request.bearer_auth(key).body(body)).await;
        (answer.status.as_u16(), answer.body)
    }

    async fn deliver(&self, world: &World, body: String) -> (u16, Value) {
        self.post(world, &world.webhook_key, "/api/dify/webhook", body)
            .await
    }
}

/// The world's own server prepares and looks; two others, each a process of its own, do the work.
async fn two(world: &World) -> [Process; 2] {
    let (one, other) = tokio::join!(Process::start(world), Process::start(world));
    [one, other]
}

#[tokio::test]
async fn one_message_a_hundred_times_at_once_is_charged_once() {
    let world = World::new().await;
    let processes = two(&world).await;
    let answers = join_all((0..100).map(|attempt| {
        let body = event("msg", "u", "gpt-4", 1500, 800);
        processes[attempt % 2].deliver(&world, body)
    }))
    .await;
    let told = |status: &str| {
        let is_told =
            |(code, body): &&(u16, Value)| *code == 200 && body["data"]["status"] == status;
        answers.iter().filter(is_told).count()
    };
    assert_eq!((told("charged"), told("duplicate")), (1, 99), "{answers:?}");
    let first = &answers[0].1["data"]["consumptionId"];
    assert!(
        answers
            .iter()
            .all(|(_, body)| body["data"]["consumptionId"] == *first)
    );
    assert_eq!(world.balance("u").await, "-93");
    world.verify().await;
}

#[tokio::test]
async fn a_thousand_holds_of_one_point_against_fifty_points_grant_exactly_fifty() {
    let world = World::new().await;
    world.price("small", "1", "1").await;
    world.grant("u", "50").await;
    let processes = two(&world).await;
    let check = json!({ "modelName": "small", "userId": "u", "hold": true,
        "estimatedInputTokens": 1000, "estimatedOutputTokens": 0 })
    .to_string();
    let mut granted = 0;
    // As many at a time as the two have connections to Postgres: nobody is told to come again.
    for _ in 0..50 {
        let answers = join_all((0..20).map(|attempt| {
            let path = "/api/user/points/check-balance";
            processes[attempt % 2].post(&world, &world.points_key, path, check.clone())
        }))
        .await;
        for (status, body) in answers {
            assert_eq!(status, 200, "{body}");
            granted += usize::from(body["data"]["holdId"].is_string());
        }
    }
    assert_eq!(granted, 50);
    world.verify().await;
}

#[tokio::test]
async fn groups_that_cross_never_deadlock() {
    let world = World::new().await;
    world.price("small", "1", "1").await;
    let processes = two(&world).await;
    let mut requests = Vec::new();
    for number in 0..400_usize {
        // Both touch the same accounts, new ones among them, one upwards and one downwards.
        let account = if number % 2 == 0 {
            number / 2 % 20
        } else {
            19 - number / 2 % 20
        };
        let body = event(
            &format!("m{number}"),
            &format!("u{account}"),
            "small",
            1000,
            0,
        );
        requests.push(processes[number % 2].deliver(&world, body));
    }
    for (status, body) in join_all(requests).await {
        assert_eq!(
            (status, &body["data"]["status"]),
            (200, &json!("charged")),
            "{body}"
        );
    }
    for account in 0..20 {
        assert_eq!(world.balance(&format!("u{account}")).await, "-20");
    }
    // One that was lost would have been tried again, unseen but for a second's delay.
    assert_eq!(deadlocks().await, 0);
    world.verify().await;
}
