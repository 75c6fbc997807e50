//! The ledger against a real Postgres: one throw-away cluster for this binary, one database for
//! each test.

#![cfg(test)]

mod books;
mod charging;
mod checked_queries;
mod clock;
mod completeness;
mod concurrency;
mod corrections;
mod feed;
mod holds;
mod idempotency;
mod keys;
mod people;
mod pricing;
mod quarantine;
mod races;
mod reports;
mod retention;
mod rollups;
mod sources;
mod tampering;
mod usage_sums;

use std::sync::Arc;
use std::time::Duration;

use ledger::{
    Actor, ApiKey, Attempt, Delivery, Entrance, Ledger, NewPrice, OperationError, Scope,
    SealingKey, Settings,
};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::price::{PriceVersion, Rates};
use shared::source::SourceEntrance;
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};
use sqlx::postgres::{PgConnectOptions, PgPool};
use testkit::{Database, cluster};

/// A fresh database, a ledger on it, and what most tests need.
struct Books {
    ledger: Ledger,
    key: Arc<ApiKey>,
    options: PgConnectOptions,
    writers: usize,
    /// The database owner's own connections, behind the ledger's back.
    pool: PgPool,
}

impl Books {
    async fn open() -> Self {
        Self::open_with(Settings::default().writers).await
    }

    /// With so many writers: with one, messages that are delivered together are charged in order.
    async fn open_with(writers: usize) -> Self {
        let options = Database::migrated().await.options();
        let ledger = connect(&options, writers).await;
        let created = ledger
            .create_api_key(
                "test",
                Scope::Entrance(SourceEntrance::Webhook),
                false,
                &actor(),
            )
            .await
            .unwrap();
        let key = ledger
            .authenticate_key(&created.key)
            .await
            .unwrap()
            .expect("the key that was just created");
        let pool = PgPool::connect_with(options.clone()).await.unwrap();
        Self {
            ledger,
            key,
            options,
            writers,
            pool,
        }
    }

    /// A second process on the same database.
    async fn replica(&self) -> Ledger {
        connect(&self.options, self.writers).await
    }

    async fn set_price(&self, model: &str, input: &str, output: &str) -> PriceVersion {
        self.ledger
            .publish_price(price(model, input, output), &actor())
            .await
            .unwrap()
    }

    async fn grant(&self, name: &str, points: &str) {
        self.ledger
            .add_points(&user(name), points.parse().unwrap(), "test", &actor())
            .await
            .unwrap();
    }

    async fn balance(&self, name: &str) -> Points {
        self.ledger.balance(&user(name)).await.unwrap().balance
    }

    fn delivery(&self, message: MessageUsage) -> Delivery {
        Delivery::new(
            Arc::clone(&self.key),
            Entrance::Webhook,
            message,
            b"{}".to_vec(),
            now(),
        )
    }

    async fn assert_verified(&self) {
        let report = self.ledger.verify(None).await.unwrap();
        assert!(report.ok, "{:?}", report.findings());
    }
}

async fn connect(options: &PgConnectOptions, writers: usize) -> Ledger {
    let settings = Settings {
        pool_connections_max: 4,
        writers,
        // Tests ask for more at once than these connections can do soon on a busy machine.
        connection_wait_max: Duration::from_secs(120),
        ..Settings::default()
    };
    Ledger::connect(options.clone(), SealingKey::from_bytes([7; 32]), settings)
        .await
        .unwrap()
}

fn actor() -> Actor {
    Actor {
        name: "tester".into(),
        origin: "test".into(),
    }
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn points(text: &str) -> Points {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time::OffsetDateTime::now_utc().into()
}

fn price(model: &str, input: &str, output: &str) -> NewPrice {
    NewPrice {
        model_name: model.parse().unwrap(),
        rates: Rates::new(input.parse().unwrap(), output.parse().unwrap()),
        is_active: true,
        effective_from: None,
        note: None,
        expected_version: None,
    }
}

fn message(id: &str, name: &str, model: &str, tokens: Tokens) -> MessageUsage {
    MessageUsage {
        message_id: id.into(),
        also_known_as: Vec::new(),
        user_id: user(name),
        conversation_id: None,
        request_id: None,
        occurred_at: None,
        calls: vec![ModelCall {
            call_id: None,
            model_name: model.parse().unwrap(),
            tokens,
            evidence: None,
        }],
        reported_total: None,
        has_answer: false,
        evidence: Evidence::Measured,
        assumed_model: None,
    }
}

/// The sample of the requirements: 93 points at 30/60.
fn sample() -> MessageUsage {
    message("msg_456", "user_789", "gpt-4", Tokens::new(1500, 800))
}

fn refusal<T: std::fmt::Debug, R>(attempt: Attempt<T, R>) -> R
where
    OperationError<R>: std::fmt::Debug,
{
    match attempt.unwrap_err() {
        OperationError::Refused(refusal) => refusal,
        OperationError::Failed(error) => panic!("failed: {error}"),
    }
}
