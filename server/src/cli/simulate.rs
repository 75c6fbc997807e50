use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hdrhistogram::Histogram;
use ledger::{Ledger, Scope};
use reqwest::Client;
use serde_json::json;
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::source::SourceEntrance;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use crate::cli::argument::parsed;
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;
use crate::config::Config;
use crate::terminal::note;

/// Requests under way at most; more would measure this program instead of the server.
const IN_FLIGHT_MAX: usize = 2000;

#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// Messages per second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many users they come from, named simulated-user-1 and so on.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// The model they name; a priced one when not given.
    #[arg(long, value_parser = parsed::<ModelName>)]
    model: Option<ModelName>,
    /// The server to send to; the one of this configuration when not given.
    #[arg(long)]
    url: Option<String>,
    /// The API key to send with (scope webhook). Without it, one is made for this run and revoked
    /// at its end.
    #[arg(long, env = "TOLLGATE_SIMULATE_KEY", hide_env_values = true)]
    key: Option<String>,
}

/// How one request ended.
struct RequestOutcome {
    outcome: String,
    latency: Duration,
}

impl Simulate {
    pub(super) async fn run(self, ledger: &Ledger, config: &Config) -> Result<Ending> {
        let base = self.url.clone().unwrap_or_else(|| config.base_url());
        let base = base.trim_end_matches('/');
        if !base.starts_with("http://") {
            bail!("--url must begin with http://");
        }
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .context("the HTTP client did not start")?;
        client
            .get(format!("{base}/healthz"))
            .send()
            .await
            .map_err(|_| anyhow!("no server answers on {base}; start one with: tollgate serve"))?;
        let model = match &self.model {
            Some(model) => model.clone(),
            None => priced_model(ledger).await?,
        };
        let (key, made) = match &self.key {
            Some(key) => (key.clone(), None),
            None => {
                let made = ledger
                    .create_api_key(
                        "simulated traffic",
                        Scope::Entrance(SourceEntrance::Webhook),
                        false,
                        &actor(),
                    )
                    .await
                    .map_err(in_words)?;
                (made.key, Some(made.id))
            }
        };
        note(&format!(
            "Sending {} simulated messages per second for {} seconds to {base}, model {model}. They are charged to simulated-user-1 to simulated-user-{}.",
            self.rate, self.seconds, self.users
        ));
        let sender = Arc::new(Sender {
            client,
            url: format!("{base}/api/dify/webhook"),
            key,
            model,
            run: Uuid::now_v7(),
            users: u64::from(self.users),
        });
        let sent = Box::pin(self.send_all(sender)).await;
        if let Some(id) = made {
            ledger
                .revoke_api_key(id, &actor())
                .await
                .map_err(in_words)?;
        }
        sent
    }

    /// Sends at the given rate, however long the answers take; latencies count from the moment a
    /// request was due, so a server that stalls does not hide it.
    async fn send_all(&self, sender: Arc<Sender>) -> Result<Ending> {
        let total = u64::from(self.rate) * u64::from(self.seconds);
        let (ended, mut endings) = mpsc::channel(IN_FLIGHT_MAX);
        let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let begun = Instant::now();
        let rate = u64::from(self.rate);
        let sending = tokio::spawn(async move {
            for number in 0..total {
                let due = begun + Duration::from_micros(number * 1_000_000 / rate);
                tokio::time::sleep_until(due).await;
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let (sender, ended) = (Arc::clone(&sender), ended.clone());
                tokio::spawn(async move {
                    let outcome = sender.send(number).await;
                    let latency = due.elapsed();
                    drop(place);
                    // The receiver outlives the senders.
                    drop(ended.send(RequestOutcome { outcome, latency }).await);
                });
            }
        });
        let mut outcomes = BTreeMap::<String, u64>::new();
        // Microseconds up to a minute, to three digits.
        let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)
            .context("the histogram did not start")?;
        let mut report_at = begun + Duration::from_secs(1);
        let mut count = 0_u64;
        while let Some(RequestOutcome { outcome, latency }) = endings.recv().await {
            count += 1;
            *outcomes.entry(outcome).or_default() += 1;
            latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
            if Instant::now() >= report_at {
                note(&format!("{count} of {total}"));
                report_at += Duration::from_secs(1);
            }
        }
        sending.await.context("sending ended badly")?;
        Ok(summary(total, begun.elapsed(), &outcomes, &latencies))
    }
}

fn summary(
    total: u64,
    elapsed: Duration,
    outcomes: &BTreeMap<String, u64>,
    latencies: &Histogram<u64>,
) -> Ending {
    let millis = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let mut text = format!(
        "{total} simulated messages in {}.{:03} s: {} per second\n",
        millis / 1000,
        millis % 1000,
        total.saturating_mul(1000) / millis
    );
    for (outcome, count) in outcomes {
        text.push_str(&format!("  {count:>9}  {outcome}\n"));
    }
    let quantile = |quantile: f64| {
        let micros = latencies.value_at_quantile(quantile);
        format!("{}.{:01} ms", micros / 1000, micros % 1000 / 100)
    };
    text.push_str(&format!(
        "latency: median {}, p90 {}, p99 {}, p99.9 {}, longest {}",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0)
    ));
    let is_ok = outcomes
        .keys()
        .all(|outcome| ["charged", "quarantined"].contains(&outcome.as_str()));
    Ending { text, is_ok }
}

async fn priced_model(ledger: &Ledger) -> Result<ModelName> {
    let book = ledger.price_book().await.map_err(in_words)?;
    let now = Timestamp::new(OffsetDateTime::now_utc());
    let active = book
        .current(now)
        .find(|version| book.in_force(&version.model_name, now).is_ok());
    active
        .map(|version| version.model_name.clone())
        .context("no model has a price yet; set one with: tollgate price set --model gpt-4 --input 30 --output 60")
}

struct Sender {
    client: Client,
    url: String,
    key: String,
    model: ModelName,
    run: Uuid,
    users: u64,
}

impl Sender {
    /// Sends message `number` of this run and names how it ended.
    async fn send(&self, number: u64) -> String {
        let request = self
            .client
            .post(&self.url)
            .bearer_auth(&self.key)
            .json(&self.event(number));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() => return "no answer in time".to_owned(),
            Err(error) if error.is_connect() => return "no connection".to_owned(),
            Err(_) => return "connection broken".to_owned(),
        };
        let status = response.status();
        let answer: serde_json::Value = match response.json().await {
            Ok(answer) => answer,
            Err(_) => return format!("{status}, unreadable answer"),
        };
        let name = match status.is_success() {
            true => answer.pointer("/data/status"),
            false => answer.pointer("/error/code"),
        };
        match name.and_then(|name| name.as_str()) {
            Some(name) if status.is_success() => name.to_owned(),
            Some(code) => format!("{status}: {code}"),
            None => status.to_string(),
        }
    }

    /// The webhook's own format. Sizes vary, the same in every run.
    fn event(&self, number: u64) -> serde_json::Value {
        let noise = scattered(number);
        let (input, output) = (200 + noise % 3000, 50 + (noise >> 16) % 1500);
        let user = scattered(number ^ 0x5555) % self.users + 1;
        let run = self.run;
        json!({
            "event": "message_end",
            "data": {
                "conversation_id": format!("simulated-{run}-{user}"),
                "message_id": format!("simulated-{run}-{number}"),
                "user_id": format!("simulated-user-{user}"),
                "model_name": self.model,
                "input_tokens": input,
                "output_tokens": output,
                "total_tokens": input + output,
                "timestamp": Timestamp::new(OffsetDateTime::now_utc()),
            },
            "request_id": format!("simulated-{run}-{number}"),
        })
    }
}

/// Numbers that look random and are the same every time (the finalizer of SplitMix64).
fn scattered(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
