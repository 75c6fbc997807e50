//! What the gateway adds to streams that pass through it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use private_postgres::Durability;
use serde_json::{Value, json};
use testkit::dify_streams::{EVENT_PERIOD, EVENTS, SENT, now_micros};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::charging;
use crate::connection::Connection;
use crate::gate::Gate;
use crate::load::{latencies, quantile_ms, record};
use crate::place::TestBed;
use crate::plan::{Measurement, Options, Plan, note};
use crate::process::{self, ServerProcess};
use crate::request::head;
use crate::table::{Figure, Name, Row, Table};
use crate::traffic::{MODEL, user_name};

pub const PARTS: &[Measurement] = &[Measurement::Gateway];

const STREAMS: u32 = 200;
/// How long streams may take beyond their plan before they count as stuck.
const GRACE: Duration = Duration::from_secs(60);
const FIRST: Name<&str> = (
    "gateway_first",
    "Gateway, 200 streams: added to the first byte, p99",
);
const EVENT: Name<&str> = (
    "gateway_event",
    "Gateway, 200 streams: added to each event, p99",
);

/// # Errors
/// When the servers or Postgres cannot be set up; what fails later is a row of the table.
pub async fn measure(
    options: &Options,
    plan: &Plan,
    place: &TestBed,
    table: &mut Table,
) -> Result<()> {
    note("Setting up a server with a stand-in for Dify behind it");
    let databases = place.start("gateway", Durability::Full).await?;
    if table.conditions.is_empty() {
        table.conditions = charging::conditions(&databases).await?;
    }
    let gate = Gate {
        tollgate: &options.tollgate,
        databases: &databases,
        database: "tollgate",
    };
    gate.install().await?;
    gate.price(MODEL).await?;
    gate.give_points(0..STREAMS).await?;
    let mut command = process::command(&std::env::current_exe()?);
    command.arg("dify");
    let dify = ServerProcess::start(command, &databases.data_dir.join("dify.log")).await?;
    let key = gate.gateway(dify.addr()).await?;
    let server = gate.serve().await?;
    note(EVENT.1);
    let measured = async {
        let direct = streams(dify.addr(), "app-bench", plan).await?;
        let through = streams(server.addr(), &key, plan).await?;
        anyhow::Ok((direct, through))
    };
    match measured.await {
        Ok((direct, through)) => {
            let row = |name: Name<&'static str>, of: fn(&Seen) -> &Histogram<u64>| {
                let added = quantile_ms(of(&through), 0.99) - quantile_ms(of(&direct), 0.99);
                let details = json!({
                    "direct": quantiles(of(&direct)), "through": quantiles(of(&through)),
                    "streams": STREAMS, "eventsPerSecond": 1.0 / EVENT_PERIOD.as_secs_f64(),
                });
                Row::new(name, Figure::millis(added.max(0.0)))
                    .goal(5.0, 5.0)
                    .details(details)
            };
            table.rows.push(row(FIRST, |seen| &seen.first));
            table.rows.push(row(EVENT, |seen| &seen.events));
            if let Err(error) = charged(&gate, through.finished).await {
                table.faults.push(format!("{error:#}"));
            }
        }
        Err(error) => {
            table.rows.push(Row::failed(FIRST, &error));
            table.rows.push(Row::failed(EVENT, &error));
        }
    }
    Ok(())
}

/// In milliseconds.
fn quantiles(micros: &Histogram<u64>) -> Value {
    json!({
        "p50": quantile_ms(micros, 0.5),
        "p99": quantile_ms(micros, 0.99),
        "p999": quantile_ms(micros, 0.999),
        "count": micros.len(),
    })
}

/// Every stream that came to its end must be charged, once.
async fn charged(gate: &Gate<'_>, finished: u64) -> Result<()> {
    let deadline = Instant::now() + GRACE;
    loop {
        let count = "select count(*) from journal_entry where kind = 'charge'";
        let count: u64 = gate.sql(count).await?.trim().parse()?;
        if count == finished {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{finished} streams went through the gateway, and {count} were charged");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// How long everything took.
struct Seen {
    /// From the request to the first byte of the stream.
    first: Histogram<u64>,
    /// From Dify to the client.
    events: Histogram<u64>,
    finished: u64,
}

/// Keeps so many streams running: each client begins the next one when one has ended. Only what
/// happens while all of them are there counts.
async fn streams(addr: SocketAddr, key: &str, plan: &Plan) -> Result<Seen> {
    let seen = RefCell::new(Seen {
        first: latencies()?,
        events: latencies()?,
        finished: 0,
    });
    let length = EVENT_PERIOD * EVENTS;
    let begun = Instant::now();
    let (from, until) = (begun + length, begun + length + plan.steady);
    let clients = (0..STREAMS).map(async |number| {
        let mut connection = Connection::open(addr).await?;
        let request = request(key, number);
        // Evenly spread, as people are.
        sleep_until(begun + length * number / STREAMS).await;
        while Instant::now() < until {
            let asked = Instant::now();
            connection.send(request.as_bytes()).await?;
            let mut text = Vec::new();
            let mut is_first = true;
            loop {
                let answer = connection.receive().await?;
                let (now, now_micros) = (Instant::now(), now_micros()?);
                if answer.has_head() && answer.status() != 200 {
                    let body = String::from_utf8_lossy(answer.body()).into_owned();
                    bail!("a stream was answered with {}: {body}", answer.status());
                }
                text.extend(answer.drain());
                let counts = (from..until).contains(&now);
                let mut seen = seen.borrow_mut();
                if is_first && !text.is_empty() {
                    is_first = false;
                    if counts {
                        record(&mut seen.first, now - asked);
                    }
                }
                while let Some(sent) = next_event(&mut text)? {
                    if counts {
                        let latency = Duration::from_micros(now_micros.saturating_sub(sent));
                        record(&mut seen.events, latency);
                    }
                }
                if answer.is_complete() {
                    seen.finished += 1;
                    break;
                }
            }
        }
        anyhow::Ok(())
    });
    timeout(length * 2 + plan.steady + GRACE, try_join_all(clients))
        .await
        .context("the streams got stuck")??;
    Ok(seen.into_inner())
}

fn request(key: &str, user: u32) -> String {
    let body = format!(
        "{{\"query\": \"hi\", \"inputs\": {{}}, \"response_mode\": \"streaming\", \"user\": \"{}\"}}",
        user_name(user)
    );
    format!(
        "{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        head("POST", "/v1/chat-messages", key),
        body.len()
    )
}

/// When the next whole event was sent; takes it out of the text.
fn next_event(text: &mut Vec<u8>) -> Result<Option<u64>> {
    let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") else {
        return Ok(None);
    };
    let event: Vec<u8> = text.drain(..end + 2).collect();
    let event = std::str::from_utf8(&event).context("an event")?;
    let (_, rest) = event
        .split_once(SENT)
        .context("an event without a moment")?;
    let digits = rest.split(',').next().unwrap_or_default();
    Ok(Some(digits.parse().context("the moment of an event")?))
}
