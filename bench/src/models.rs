//! Calls to models through Tollgate: each is checked, held, passed on and charged. Beside it, in the
//! same run, a proxy that only passes them on, to the same stand-in for a provider.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use private_postgres::Durability;
use serde_json::json;
use testkit::provider;
use tokio::time::{Instant, sleep};

use crate::answer::HttpAnswer;
use crate::charging::{conditions, verify};
use crate::gate::Gate;
use crate::load::{Closed, Figures, Traffic};
use crate::place::{Databases, TestBed};
use crate::plan::{Measurement, Options, Plan, note};
use crate::process::{self, ServerProcess};
use crate::request::{head, write_post};
use crate::table::{Figure, Name, Row, Table};
use crate::traffic::{MODEL, beginning, text_of, user_name};

pub const PARTS: &[Measurement] = &[Measurement::ModelGateway];

const USERS: u32 = 1_000;
const CONNECTIONS: usize = 64;
/// A call that takes long to charge is answered before it is; not much longer.
const CHARGE_MAX: Duration = Duration::from_secs(60);
const REFERENCE: &str = "bare proxy";

const CALLS: Name<&str> = (
    "model_gateway",
    "model calls, checked, held and charged, 1,000 users",
);
const MEDIAN: Name<&str> = ("model_gateway_p50", "the same, median latency");
const SLOW: Name<&str> = ("model_gateway_p99", "the same, p99 latency");

/// # Errors
/// When the servers or Postgres cannot be set up; what fails later is a row of the table.
pub async fn measure(
    options: &Options,
    plan: &Plan,
    place: &TestBed,
    table: &mut Table,
) -> Result<()> {
    note("Setting up a server with a stand-in for a model provider behind it");
    let databases = place.start("models", Durability::Full).await?;
    if table.conditions.is_empty() {
        table.conditions = conditions(&databases).await?;
    }
    let gate = Gate {
        tollgate: &options.tollgate,
        databases: &databases,
        database: "tollgate",
    };
    gate.price(MODEL).await?;
    gate.give_points(0..USERS).await?;
    let provider = own(&databases, &["provider"]).await?;
    let upstream = format!("http://{}", provider.addr());
    let proxy = own(&databases, &["proxy", &upstream]).await?;
    let key = gate.openai(provider.addr()).await?;
    let server = gate.serve().await?;
    note(CALLS.1);
    let (direct, through) = (
        Calls::new(provider::CHAT_PATH, provider::KEY),
        Calls::new("/openai/v1/chat/completions", &key),
    );
    let measured = async {
        let reference = load(plan).run(proxy.addr(), &direct).await?;
        databases.checkpoint().await?;
        let figures = load(plan).run(server.addr(), &through).await?;
        anyhow::Ok((reference, figures))
    };
    match measured.await {
        Ok((reference, figures)) => {
            table.rows.extend(rows(&reference, &figures));
            if let Err(error) = books(&gate, through.answered.get()).await {
                table.faults.push(format!("{error:#}"));
            }
        }
        Err(error) => table.rows.push(Row::failed(CALLS, &error)),
    }
    Ok(())
}

/// This program as one of the servers beside the measured one.
async fn own(databases: &Databases, arguments: &[&str]) -> Result<ServerProcess> {
    let mut command = process::command(&std::env::current_exe()?);
    command.args(arguments);
    let name = arguments.first().context("what to serve")?;
    ServerProcess::start(command, &databases.data_dir.join(format!("{name}.log"))).await
}

const fn load(plan: &Plan) -> Closed {
    Closed {
        connections: CONNECTIONS,
        warm_up: plan.warm_up,
        measured: plan.measured,
    }
}

fn rows(reference: &Figures, figures: &Figures) -> [Row; 3] {
    let rate = |figures: &Figures| Figure::per_second(figures.per_second());
    note(&format!(
        "  {CONNECTIONS} connections: {:.0}/s, by the bare proxy {:.0}/s",
        figures.per_second(),
        reference.per_second()
    ));
    let latency = |name, quantile| {
        Row::new(name, Figure::millis(figures.latency(quantile)))
            .against(REFERENCE, Figure::millis(reference.latency(quantile)))
    };
    let details = json!({ "connections": CONNECTIONS, "users": USERS });
    [
        Row::new(CALLS, rate(figures))
            .against(REFERENCE, rate(reference))
            .details(details),
        latency(MEDIAN, 0.5),
        latency(SLOW, 0.99),
    ]
}

/// Every call that was answered was held and is charged, once, and the ledger agrees with itself.
async fn books(gate: &Gate<'_>, answered: u64) -> Result<()> {
    let settled = "select count(*) from hold where status = 'settled'";
    let charged = "select count(*) from journal_entry where kind = 'charge'";
    let begun = Instant::now();
    loop {
        let settled: u64 = gate.sql(settled).await?.parse()?;
        let charged: u64 = gate.sql(charged).await?.parse()?;
        if (settled, charged) == (answered, answered) {
            break;
        }
        if begun.elapsed() > CHARGE_MAX {
            bail!(
                "{answered} calls were answered, {charged} charged, and {settled} holds were settled"
            );
        }
        sleep(Duration::from_millis(100)).await;
    }
    let (report, ended) = verify(gate).await?;
    if !report.ok || report.count("charges") != answered {
        bail!("tollgate verify found: {}", ended.stdout.trim());
    }
    Ok(())
}

/// Chat completions of users at random.
struct Calls {
    head: String,
    random: RefCell<Rng>,
    body: RefCell<Vec<u8>>,
    answered: Cell<u64>,
}

impl Calls {
    fn new(path: &str, key: &str) -> Self {
        Self {
            head: head("POST", path, key),
            // The same users for both.
            random: RefCell::new(Rng::with_seed(1)),
            body: RefCell::default(),
            answered: Cell::default(),
        }
    }
}

impl Traffic for Calls {
    fn write(&self, request: &mut Vec<u8>) -> Range<u64> {
        let mut body = self.body.borrow_mut();
        body.clear();
        let user = user_name(self.random.borrow_mut().u32(..USERS));
        // Writing to memory cannot fail.
        drop(write!(
            body,
            r#"{{"model":"{MODEL}","user":"{user}","max_tokens":100,"messages":[{{"role":"system","content":"You answer briefly."}},{{"role":"user","content":"How many points does this call cost?"}}]}}"#
        ));
        write_post(request, &self.head, &body);
        0..0
    }

    fn check(&self, _: Range<u64>, answer: &HttpAnswer, _: Instant) -> Result<u64> {
        let text = text_of(answer)?;
        if text != provider::ANSWER {
            bail!("not what the provider answered: {}", beginning(text));
        }
        self.answered.set(self.answered.get() + 1);
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answer(status: &str, body: &str) -> HttpAnswer {
        let mut answer = HttpAnswer::default();
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        answer.take(text.as_bytes()).expect("read");
        answer
    }

    #[test]
    fn a_call_names_a_user_and_what_its_answer_may_cost() {
        let calls = Calls::new(provider::CHAT_PATH, "the-key");
        let mut request = Vec::new();
        calls.write(&mut request);
        let request = String::from_utf8(request).expect("UTF-8");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
        assert!(head.contains("\r\nauthorization: Bearer the-key\r\n"));
        let body: Value = serde_json::from_str(body).expect("JSON");
        let user = body["user"].as_str().expect("a user");
        assert!((0..USERS).any(|number| user_name(number) == user), "{user}");
        assert_eq!(body["max_tokens"], 100);
    }

    #[test]
    fn an_answer_is_right_when_it_is_the_providers_byte_for_byte() {
        let calls = Calls::new(provider::CHAT_PATH, "the-key");
        let check = |answer: &HttpAnswer| calls.check(0..0, answer, Instant::now());
        let right = answer("200 OK", provider::ANSWER);
        assert_eq!(check(&right).expect("right"), 1);
        let other = provider::ANSWER.replacen("gpt", "GPT", 1);
        for wrong in [
            answer("200 OK", &other),
            answer("402 Payment Required", provider::ANSWER),
        ] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(calls.answered.get(), 1);
    }
}
