//! What a server answers.

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;

pub fn client() -> Client {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert_eq!(self.body["success"], true, "{self:?}");
        &self.body["data"]
    }

    /// Status, code and field of a refusal.
    #[track_caller]
    pub fn refusal(&self) -> (u16, &str, Option<&str>) {
        assert_eq!(self.body["success"], false, "{self:?}");
        let message = self.body["message"].as_str().expect("a message");
        assert!(!message.is_empty());
        (
            self.status.as_u16(),
            self.body["error"]["code"].as_str().expect("a code"),
            self.body["error"]["field"].as_str(),
        )
    }
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a body");
    Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}
