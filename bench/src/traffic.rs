//! What is sent: messages in the webhook's format, one by one and in batches, and questions.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::ops::Range;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use shared::clock::Timestamp;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::answer::HttpAnswer;
use crate::feed::Feed;
use crate::load::Traffic;
use crate::request::{head, write_post};

pub const MODEL: &str = "gpt-4";
/// Users are named `user-00000` and so on; one more is the hot one.
pub const USERS: u32 = 10_000;
pub const HOT_USER: u32 = USERS;

pub fn user_name(user: u32) -> String {
    format!("user-{user:05}")
}

/// Which messages there are. Their numbers begin at 0.
#[derive(Debug, Default)]
pub struct Messages {
    sent: Cell<u64>,
    acknowledged: Cell<u64>,
}

impl Messages {
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.get()
    }

    fn next(&self, count: u64) -> Range<u64> {
        let first = self.sent.get();
        self.sent.set(first + count);
        first..first + count
    }
}

/// Whom something is about.
#[derive(Debug, Clone, Copy)]
pub enum Users {
    All,
    Hot,
}

impl Users {
    fn choose(self, random: &RefCell<Rng>) -> u32 {
        match self {
            Self::All => random.borrow_mut().u32(..USERS),
            Self::Hot => HOT_USER,
        }
    }
}

/// The same users and token counts in every run.
fn random() -> RefCell<Rng> {
    RefCell::new(Rng::with_seed(1))
}

/// Messages of one run, by the webhook.
pub struct Events {
    head: String,
    users: Users,
    /// Messages in one request; `None` sends them one by one.
    batch: Option<u64>,
    happened_at: Timestamp,
    random: RefCell<Rng>,
    body: RefCell<Vec<u8>>,
    messages: Rc<Messages>,
    feed: Feed,
}

impl Events {
    pub fn new(key: &str, users: Users, messages: Rc<Messages>, feed: Feed) -> Self {
        Self {
            head: head("POST", "/api/dify/webhook", key),
            users,
            batch: None,
            happened_at: Timestamp::new(OffsetDateTime::now_utc()),
            random: random(),
            body: RefCell::default(),
            messages,
            feed,
        }
    }

    /// The same, so many messages in each request.
    pub fn in_batches(self, size: u64) -> Self {
        Self {
            head: self.head.replacen("/webhook", "/webhook/batch", 1),
            batch: Some(size),
            ..self
        }
    }

    fn write_event(&self, body: &mut Vec<u8>, number: u64) {
        let (input, output) = {
            let mut random = self.random.borrow_mut();
            (random.u32(200..3200), random.u32(50..1550))
        };
        let (total, at) = (input + output, self.happened_at);
        let user = self.users.choose(&self.random);
        let id = self.feed.message_id(number);
        drop(write!(
            body,
            r#"{{"event":"message_end","data":{{"conversation_id":"conv-{user:05}","message_id":"{id}","user_id":"user-{user:05}","model_name":"{MODEL}","input_tokens":{input},"output_tokens":{output},"total_tokens":{total},"timestamp":"{at}"}},"request_id":"req-{number}"}}"#
        ));
    }
}

impl Traffic for Events {
    fn write(&self, request: &mut Vec<u8>) -> Range<u64> {
        let messages = self.messages.next(self.batch.unwrap_or(1));
        let mut body = self.body.borrow_mut();
        body.clear();
        match self.batch {
            None => self.write_event(&mut body, messages.start),
            Some(_) => {
                let mut before: &[u8] = br#"{"events":["#;
                for number in messages.clone() {
                    body.extend_from_slice(before);
                    self.write_event(&mut body, number);
                    before = b",";
                }
                body.extend_from_slice(b"]}");
            }
        }
        write_post(request, &self.head, &body);
        messages
    }

    fn check(&self, messages: Range<u64>, answer: &HttpAnswer, at: Instant) -> Result<u64> {
        let text = text_of(answer)?;
        let sent = messages.end - messages.start;
        let mut charged = text.matches(r#""status":"charged""#);
        if (0..sent).any(|_| charged.next().is_none()) || charged.next().is_some() {
            bail!("not every message was charged: {}", beginning(text));
        }
        let acknowledged = &self.messages.acknowledged;
        acknowledged.set(acknowledged.get() + sent);
        for number in messages {
            self.feed.answered(number, at);
        }
        Ok(sent)
    }
}

/// Whether somebody can afford a call, without a hold.
pub struct Checks {
    head: String,
    random: RefCell<Rng>,
    body: RefCell<Vec<u8>>,
}

impl Checks {
    pub fn new(key: &str) -> Self {
        Self {
            head: head("POST", "/api/user/points/check-balance", key),
            random: random(),
            body: RefCell::default(),
        }
    }
}

impl Traffic for Checks {
    fn write(&self, request: &mut Vec<u8>) -> Range<u64> {
        let mut body = self.body.borrow_mut();
        body.clear();
        let user = Users::All.choose(&self.random);
        drop(write!(
            body,
            r#"{{"userId":"user-{user:05}","modelName":"{MODEL}","estimatedInputTokens":1500,"estimatedOutputTokens":800}}"#
        ));
        write_post(request, &self.head, &body);
        0..0
    }

    fn check(&self, _: Range<u64>, answer: &HttpAnswer, _: Instant) -> Result<u64> {
        let text = text_of(answer)?;
        if !text.contains(r#""canProceed":true"#) {
            bail!("the call cannot proceed: {}", beginning(text));
        }
        Ok(1)
    }
}

/// The body of an answer, which must be a success.
pub fn text_of(answer: &HttpAnswer) -> Result<&str> {
    let text = std::str::from_utf8(answer.body()).context("an answer that is not UTF-8")?;
    match answer.status() {
        200 => Ok(text),
        status => bail!("answered {status}: {}", beginning(text)),
    }
}

/// Enough of an answer to see what is wrong.
pub fn beginning(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shared::formats::dify::parse_webhook;

    use super::*;

    fn events() -> Events {
        let feed = Feed::new(7).expect("a feed");
        Events::new("the-key", Users::All, Rc::default(), feed)
    }

    fn body(request: &[u8]) -> &str {
        let request = std::str::from_utf8(request).expect("UTF-8");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains("\r\nauthorization: Bearer the-key\r\n"),
            "{head}"
        );
        let length = format!("\r\ncontent-length: {}", body.len());
        assert!(head.ends_with(&length), "{head}");
        body
    }

    fn answer(status: &str, body: &str) -> HttpAnswer {
        let mut answer = HttpAnswer::default();
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        answer.take(text.as_bytes()).expect("read");
        answer
    }

    #[test]
    fn events_are_messages_of_their_own() {
        let events = events();
        let mut ids = Vec::new();
        let mut request = Vec::new();
        for number in 0..3 {
            assert_eq!(events.write(&mut request), number..number + 1);
            assert!(request.starts_with(b"POST /api/dify/webhook HTTP/1.1\r\n"));
            let message = parse_webhook(body(&request).as_bytes()).expect("a message");
            assert!(!message.is_contradictory() && message.total_tokens() > 0);
            ids.push(message.message_id.clone());
        }
        assert_eq!(ids, ["bench-7-0", "bench-7-1", "bench-7-2"]);
    }

    #[test]
    fn a_batch_is_many_messages_in_one_body() {
        let events = events().in_batches(100);
        let mut request = Vec::new();
        assert_eq!(events.write(&mut request), 0..100);
        assert!(request.starts_with(b"POST /api/dify/webhook/batch HTTP/1.1\r\n"));
        let batch: Value = serde_json::from_str(body(&request)).expect("JSON");
        let batch = batch["events"].as_array().expect("events");
        assert_eq!(batch.len(), 100);
        for (number, event) in batch.iter().enumerate() {
            let message = parse_webhook(event.to_string().as_bytes()).expect("a message");
            assert_eq!(message.message_id, format!("bench-7-{number}"));
        }
        assert_eq!(events.write(&mut request), 100..200);
    }

    #[test]
    fn an_answer_is_right_when_every_message_was_charged() {
        let events = events().in_batches(2);
        let check = |answer: &HttpAnswer| events.check(0..2, answer, Instant::now());
        let charged = r#"{"status":"charged"}"#;
        let two = format!(r#"{{"results":[{charged},{charged}],"charged":2}}"#);
        assert_eq!(check(&answer("200 OK", &two)).expect("right"), 2);
        assert_eq!(events.messages.acknowledged(), 2);

        let one = format!(r#"{{"results":[{charged},{{"status":"duplicate"}}]}}"#);
        let three = format!("[{charged},{charged},{charged}]");
        for wrong in [
            answer("200 OK", &one),
            answer("200 OK", &three),
            answer("503 Busy", &two),
        ] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(events.messages.acknowledged(), 2);
    }
}
