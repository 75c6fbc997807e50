//! `GET /api/admin/live`.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::{Method, Response};
use serde_json::Value;
use testkit::{World, answer, event};

use crate::SAMPLE;

/// A reader of server-sent events.
struct Reader {
    chunks: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
}

#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Reader {
    fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("content-encoding"));
        Self {
            chunks: response
                .bytes_stream()
                .map(|chunk| chunk.map(|bytes| bytes.to_vec()))
                .boxed(),
            text: String::new(),
        }
    }

    async fn open(world: &World, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = world
            .request(Method::GET, &format!("/api/admin/live{query}"))
            .header("accept-encoding", "br, gzip")
            .bearer_auth(&world.admin_key);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        Self::new(request.send().await.expect("a stream"))
    }

    /// The next event; `None` at the stream's end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    block
                        .lines()
                        .find_map(|line| Some(line.strip_prefix(&prefix)?.to_owned()))
                };
                if let Some(data) = field("data") {
                    return Some(Event {
                        id: field("id").expect("an id"),
                        name: field("event").expect("a name"),
                        data: serde_json::from_str(&data).expect("JSON"),
                    });
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.chunks.next())
                .await
                .expect("something within 20 seconds")?;
            let chunk = chunk.expect("an unbroken stream");
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    async fn messages(&mut self, count: usize) -> (Vec<String>, String) {
        let mut messages = Vec::new();
        let mut last = String::new();
        while messages.len() < count {
            let event = self.next().await.expect("an event");
            let message = event.data["messageId"].as_str().expect("an id");
            messages.push(message.to_owned());
            last = event.id;
        }
        (messages, last)
    }
}

async fn deliver(world: &World, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        let body = event(&format!("m{number}"), "u1", "gpt-4", 1, 1);
        world.deliver(body).await.data();
    }
}

fn names(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("m{number}"))
        .collect()
}

#[tokio::test]
async fn a_charge_appears_as_it_happens() {
    let world = World::new().await;
    let mut reader = Reader::open(&world, "", None).await;
    world.deliver(SAMPLE).await.data();
    let event = reader.next().await.expect("an event");
    assert_eq!(event.name, "delivery");
    assert_eq!(event.data["outcome"], "charged");
    assert_eq!(event.data["points"], 93);
    assert_eq!(event.data["userId"], "user_789");
    assert_eq!(event.data["source"], "dify");
    assert_eq!(event.data["cursor"], event.id);
    // Refusals appear too.
    world.deliver("{").await;
    let event = reader.next().await.expect("an event");
    assert_eq!(event.data["outcome"], "rejected");
    assert_eq!(event.data["reason"], "invalid_json");
}

#[tokio::test]
async fn a_reader_resumes_without_gap_or_repeat() {
    let world = World::new().await;
    let mut reader = Reader::open(&world, "", None).await;
    deliver(&world, 0..10).await;
    let (messages, _) = reader.messages(3).await;
    assert_eq!(messages, names(0..3));
    let (messages, last) = reader.messages(4).await;
    assert_eq!(messages, names(3..7));
    drop(reader);
    deliver(&world, 10..15).await;

    let mut reader = Reader::open(&world, "?after=ignored-for-the-header", Some(&last)).await;
    let (messages, last) = reader.messages(8).await;
    assert_eq!(messages, names(7..15));
    deliver(&world, 15..16).await;
    assert_eq!(reader.messages(1).await.0, names(15..16));

    let mut reader = Reader::open(&world, &format!("?after={last}"), None).await;
    assert_eq!(reader.messages(1).await.0, names(15..16));
}

#[tokio::test]
async fn a_reader_that_was_away_for_long_gets_everything() {
    let world = World::new().await;
    let mut reader = Reader::open(&world, "", None).await;
    deliver(&world, 0..1).await;
    let (_, last) = reader.messages(1).await;
    drop(reader);
    // More than is fetched at once, committed together in no particular order.
    let bodies = (1..=350).map(|number| event(&format!("m{number}"), "u1", "gpt-4", 1, 1));
    let deliveries = bodies.map(|body| world.deliver(body));
    futures::stream::iter(deliveries)
        .buffer_unordered(50)
        .for_each(|answer| async move {
            answer.data();
        })
        .await;
    let mut reader = Reader::open(&world, "", Some(&last)).await;
    let (mut messages, _) = reader.messages(350).await;
    messages.sort_by_key(|name| name[1..].parse::<u32>().expect("a number"));
    assert_eq!(messages, names(1..=350));
}

#[tokio::test]
async fn only_administrators_may_watch() {
    let world = World::new().await;
    let get = || world.request(Method::GET, "/api/admin/live");
    assert_eq!(answer(get()).await.refusal(), (401, "missing_key", None));
    for key in [&world.webhook_key, &world.points_key] {
        let refused = answer(get().bearer_auth(key)).await;
        assert_eq!(refused.refusal(), (403, "wrong_scope", None));
    }
    let bad = world.request(Method::GET, "/api/admin/live?after=nonsense");
    let bad = bad.bearer_auth(&world.admin_key);
    assert_eq!(
        answer(bad).await.refusal(),
        (422, "invalid_field", Some("after"))
    );

    // A signed-in administrator needs no key.
    let cookie = world.sign_in("admin").await;
    let response = get().header("cookie", cookie).send().await;
    let mut reader = Reader::new(response.expect("a stream"));
    deliver(&world, 0..1).await;
    assert_eq!(reader.messages(1).await.0, names(0..1));
}

#[tokio::test]
async fn the_streams_end_when_the_server_stops() {
    let world = World::new().await;
    let mut reader = Reader::open(&world, "", None).await;
    let begun = std::time::Instant::now();
    world.server.stop().await.expect("a clean end");
    assert!(reader.next().await.is_none());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "nothing had to be waited for"
    );
}
