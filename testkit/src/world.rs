//! A running server, with what most tests need.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ledger::{Actor, Ledger, NewPrice, Scope};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use server::config::Config;
use server::serve::Server;
use shared::api::LiveEvent;
use shared::price::Rates;
use shared::source::SourceEntrance;
use sqlx::{Connection, PgConnection};

use crate::answer::{Answer, answer, client};
use crate::database::Database;

pub fn config(database_url: String) -> Config {
    Config {
        database_url: Some(database_url),
        data_dir: PathBuf::from("unused"),
        addr: "127.0.0.1:0".parse().expect("an address"),
        public_url: None,
        recharge_url: None,
        site_root: None,
        secret_key: Some("07".repeat(32).parse().expect("a key")),
        database_connections: 10,
        writers: None,
        queue_messages: 10_000,
        delivery_retention_months: 13,
        upstream_silence_seconds: 120,
        log: None,
    }
}

pub fn actor() -> Actor {
    Actor {
        name: "test".to_owned(),
        origin: "test".to_owned(),
    }
}

/// A running server with a model priced as in the specification's example, and a key per scope.
pub struct World {
    pub server: Server,
    pub client: Client,
    pub database_url: String,
    pub webhook_key: String,
    pub points_key: String,
    pub admin_key: String,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a configuration that differs from the usual one.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(Database::migrated().await.url(), change).await
    }

    /// Another server on the database of one that has stopped.
    pub async fn on(database_url: String) -> Self {
        Self::start(database_url, |_| {}).await
    }

    async fn start(database_url: String, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(database_url.clone());
        change(&mut config);
        let server = Server::start(&config).await.expect("a server");
        let key = async |name: &str, scope| {
            let created = server
                .ledger()
                .create_api_key(name, scope, false, &actor())
                .await;
            created.expect("a key").key
        };
        let world = Self {
            webhook_key: key("dify", Scope::Entrance(SourceEntrance::Webhook)).await,
            points_key: key("back end", Scope::Points).await,
            admin_key: key("operations", Scope::Admin).await,
            client: client(),
            database_url,
            server,
        };
        world.price("GPT-4", "30", "60").await;
        world
    }

    pub fn ledger(&self) -> &Ledger {
        self.server.ledger()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addr())
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub async fn price(&self, model: &str, input: &str, output: &str) {
        let price = NewPrice {
            model_name: model.parse().expect("a model"),
            rates: Rates::new(
                input.parse().expect("a price"),
                output.parse().expect("a price"),
            ),
            is_active: true,
            effective_from: None,
            note: None,
            expected_version: None,
        };
        let published = self.ledger().publish_price(price, &actor()).await;
        published.expect("a price version");
    }

    pub async fn grant(&self, user: &str, points: &str) {
        let user = user.parse().expect("a user");
        let points = points.parse().expect("points");
        self.ledger()
            .add_points(&user, points, "test", &actor())
            .await
            .expect("points added");
    }

    pub async fn balance(&self, user: &str) -> String {
        let user = user.parse().expect("a user");
        let balance = self.ledger().balance(&user).await.expect("a balance");
        balance.balance.to_string()
    }

    /// Posts a webhook body with the webhook key.
    pub async fn deliver(&self, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(Method::POST, "/api/dify/webhook")
            .bearer_auth(&self.webhook_key)
            .body(body);
        answer(request).await
    }

    /// Gets an address with the points key.
    pub async fn get(&self, path: &str) -> Answer {
        answer(
            self.request(Method::GET, path)
                .bearer_auth(&self.points_key),
        )
        .await
    }

    /// Posts JSON with the points key.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self
            .request(Method::POST, path)
            .bearer_auth(&self.points_key);
        answer(request.json(body)).await
    }

    /// Asks under `/api/admin` with the admin key.
    pub async fn admin(&self, method: Method, path: &str, body: &Value) -> Answer {
        let mut request = self
            .request(method, &format!("/api/admin/{path}"))
            .bearer_auth(&self.admin_key);
        if !body.is_null() {
            request = request.json(body);
        }
        answer(request).await
    }

    /// The cookie of an administrator who has signed in.
    pub async fn sign_in(&self, name: &str) -> String {
        let password = "correct horse battery";
        let ledger = self.ledger();
        let created = ledger.create_administrator(name, password, &actor()).await;
        created.expect("an administrator");
        let session = ledger.sign_in(name, password, "test").await;
        let session = session.expect("a session");
        let context = self.server.context();
        let cookie = context
            .access
            .session_cookie(session.token, session.expires_at);
        let cookie = cookie.expect("a cookie");
        let cookie = cookie.to_str().expect("text").split(';').next();
        cookie.expect("a cookie").to_owned()
    }

    /// Runs a statement behind the server's back.
    pub async fn sql(&self, statement: &'static str) {
        let mut connection = PgConnection::connect(&self.database_url)
            .await
            .expect("a connection");
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .expect("executed");
    }

    /// One number from the database.
    pub async fn number(&self, query: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.database_url)
            .await
            .expect("a connection");
        sqlx::query_scalar(query)
            .fetch_one(&mut connection)
            .await
            .expect("a number")
    }

    /// The deliveries so far, oldest first, of which there are `count`. The feed shows one only when
    /// no older transaction of the cluster is running, which may be that of another test.
    pub async fn deliveries(&self, count: usize) -> Vec<LiveEvent> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let page = self.ledger().live_latest(1000).await.expect("deliveries");
            if page.events.len() >= count || Instant::now() > deadline {
                assert_eq!(page.events.len(), count, "{:?}", page.events);
                return page.events;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// No account may differ from its journal by a digit, whatever a test did.
    pub async fn verify(&self) {
        let report = self.ledger().verify(None).await.expect("a report");
        assert!(report.ok, "{report:?}");
    }
}

/// An event in the webhook's own format.
pub fn event(message: &str, user: &str, model: &str, input: u64, output: u64) -> String {
    json!({
        "event": "message_end",
        "data": {
            "message_id": message,
            "user_id": user,
            "model_name": model,
            "input_tokens": input,
            "output_tokens": output,
            "total_tokens": input + output,
        },
    })
    .to_string()
}
