//! Messages and questions under load, beside pgbench on the same cluster.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::FutureExt;
use private_postgres::Durability;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::feed::{Feed, FeedHandle};
use crate::gate::Gate;
use crate::load::{Closed, Open, Schedule, Traffic, quantile_ms, real};
use crate::place::{Databases, TestBed};
use crate::plan::{Measurement, Options, Plan, note};
use crate::postgres::Pgbench;
use crate::process::{self, Memory, ServerProcess};
use crate::table::{Figure, Name, Row, Table, Unit};
use crate::traffic::{Checks, Events, HOT_USER, MODEL, Messages, USERS, Users, text_of};

pub const PARTS: &[Measurement] = &[
    Measurement::Single,
    Measurement::Hot,
    Measurement::Batch,
    Measurement::Steady,
    Measurement::Lone,
    Measurement::Check,
];

/// How many messages a batch carries.
const BATCH: u64 = 100;
/// Enough that one is always free at the rates of interest.
const STEADY_CONNECTIONS: usize = 256;
/// Of the most single messages a second.
const STEADY_SHARE: f64 = 0.7;

/// # Errors
/// When the server or Postgres cannot be set up; what fails later is a row of the table.
pub async fn measure(
    options: &Options,
    plan: &Plan,
    place: &TestBed,
    table: &mut Table,
) -> Result<()> {
    note("Setting up a server and its cluster");
    let databases = place.start("main", Durability::Full).await?;
    table.conditions = conditions(&databases).await?;
    let pgbench = Pgbench::prepare(&databases, &databases.data_dir).await?;
    let gate = Gate {
        tollgate: &options.tollgate,
        databases: &databases,
        database: "tollgate",
    };
    gate.install().await?;
    gate.price(MODEL).await?;
    let (webhook_key, points_key) = (gate.key("webhook").await?, gate.key("points").await?);
    note(&format!("Giving points to {USERS} users"));
    gate.give_points(0..HOT_USER + 1).await?;
    let server = gate.serve().await?;
    let feed = Feed::new(std::process::id())?;
    let reader = feed
        .connect(server.addr(), &gate.key("admin").await?)
        .await?;
    let bench = Bench {
        plan,
        addr: server.addr(),
        gate,
        server,
        pgbench,
        webhook_key,
        points_key,
        messages: Rc::default(),
        feed,
        _reader: reader,
        memory: Cell::default(),
        obvious: OnceCell::new(),
        most: OnceCell::new(),
    };
    bench.parts(options, table).await;
    Ok(())
}

/// What has to be known to read the figures.
pub async fn conditions(databases: &Databases) -> Result<Vec<(&'static str, String)>> {
    let show = "select string_agg(name || ' = ' || current_setting(name), ', ' order by number)
        from unnest(array['fsync', 'synchronous_commit', 'full_page_writes', 'wal_compression',
            'shared_buffers', 'max_wal_size', 'server_version'])
            with ordinality as t (name, number)";
    let read = |file: &str, label: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(label));
        line.map_or_else(String::new, |rest| {
            rest.trim_start_matches([' ', '\t', ':']).trim().to_owned()
        })
    };
    let cpus = std::thread::available_parallelism().context("the number of CPUs")?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(vec![
        (
            "CPUs",
            format!("{cpus} × {}", read("/proc/cpuinfo", "model name")),
        ),
        ("Memory", read("/proc/meminfo", "MemTotal")),
        (
            "Load average before the run",
            load.split(' ').next().unwrap_or_default().to_owned(),
        ),
        ("Postgres", databases.sql("postgres", show, &[]).await?),
    ])
}

struct Bench<'a> {
    plan: &'a Plan,
    gate: Gate<'a>,
    server: ServerProcess,
    addr: SocketAddr,
    pgbench: Pgbench<'a>,
    webhook_key: String,
    points_key: String,
    messages: Rc<Messages>,
    feed: Feed,
    /// Connected during all load.
    _reader: FeedHandle,
    /// The most that was seen after a load.
    memory: Cell<Option<Memory>>,
    /// pgbench over all accounts, once measured: two figures refer to it.
    obvious: OnceCell<Best>,
    /// The most single messages a second, once measured: the steady load is a part of it.
    most: OnceCell<Best>,
}

/// What the best of several concurrencies came to.
struct Best {
    per_second: f64,
    /// For the JSON: which it was, and what each of them came to.
    details: Value,
}

impl Bench<'_> {
    async fn parts(&self, options: &Options, table: &mut Table) {
        let parts = [
            (Measurement::Single, SINGLE, self.single().boxed_local()),
            (Measurement::Steady, STEADY, self.steady().boxed_local()),
            (Measurement::Hot, HOT, self.hot().boxed_local()),
            (Measurement::Batch, BATCHES, self.batches().boxed_local()),
            (Measurement::Lone, LONE, self.lone().boxed_local()),
            (Measurement::Check, CHECK, self.check().boxed_local()),
        ];
        for (part, name, measuring) in parts {
            if !options.wants(part) {
                continue;
            }
            note(name.1);
            match measuring.await {
                Ok(rows) => table.rows.extend(rows),
                Err(error) => {
                    table.rows.push(Row::failed(name, &error));
                    self.feed.forget().await;
                }
            }
            self.note_memory();
        }
        table.rows.push(match self.memory.get() {
            Some(memory) => {
                let resident = Figure::megabytes(memory.now).value;
                Row::new(MEMORY, Figure::megabytes(memory.peak))
                    .goal(150.0, 80.0)
                    .details(json!({ "residentAfterLoad": resident }))
            }
            None => Row::failed(MEMORY, &anyhow!("no load was survived")),
        });
        note("Checking the books");
        match self.books().await {
            Ok(row) => table.rows.push(row),
            Err(error) => table.faults.push(format!("{error:#}")),
        }
    }

    fn note_memory(&self) {
        let before = self.memory.get().unwrap_or_default();
        if let Some(memory) = self.server.memory() {
            self.memory.set(Some(Memory {
                now: memory.now.max(before.now),
                peak: memory.peak,
            }));
        }
    }

    async fn single(&self) -> Result<Vec<Row>> {
        let obvious = self.obvious().await?;
        let row = self.most().await?.row(SINGLE, "pgbench", obvious);
        let ended = Instant::now();
        self.feed.catch_up().await?;
        let lag = Figure::new(ended.elapsed().as_secs_f64(), Unit::Seconds);
        Ok(vec![row.goal(1.0, 2.0), Row::new(LAG, lag)])
    }

    async fn hot(&self) -> Result<Vec<Row>> {
        let obvious = self.transactions(1).await?;
        let events = self.events(Users::Hot);
        let best = self.best(self.addr, &events, self.plan.connections).await?;
        self.feed.catch_up().await?;
        let row = best.row(HOT, "pgbench on one row", &obvious);
        Ok(vec![row.goal(3.0, 10.0)])
    }

    async fn batches(&self) -> Result<Vec<Row>> {
        let obvious = self.obvious().await?;
        let batches = self.events(Users::All).in_batches(BATCH);
        let connections = self.plan.batch_connections;
        let best = self.best(self.addr, &batches, connections).await?;
        self.feed.catch_up().await?;
        let row = best.row(BATCHES, "pgbench", obvious);
        Ok(vec![row.goal(2.5, 5.0)])
    }

    async fn steady(&self) -> Result<Vec<Row>> {
        let per_second = self.most().await?.per_second * STEADY_SHARE;
        // Nothing of the load before may be left in the feed.
        self.feed.catch_up().await?;
        drop(self.feed.take_delays()?);
        let open = Open {
            connections: STEADY_CONNECTIONS,
            schedule: Schedule {
                per_second,
                length: self.plan.steady + self.plan.warm_up,
            },
            warm_up: self.plan.warm_up,
        };
        self.gate.databases.checkpoint().await?;
        let figures = open.run(self.addr, &self.events(Users::All)).await?;
        self.feed.catch_up().await?;
        let delays = self.feed.take_delays()?;
        note(&format!("  at {per_second:.0}/s"));
        let row = |(id, what), latency: &dyn Fn(f64) -> f64| {
            let what = format!("{what} ({per_second:.0}/s)");
            Row::new((id, what), Figure::millis(latency(0.99))).details(json!({
                "perSecond": per_second,
                "p50": latency(0.5),
                "p90": latency(0.9),
                "p999": latency(0.999),
                "longest": latency(1.0),
            }))
        };
        Ok(vec![
            row(STEADY, &|quantile| figures.latency(quantile)).goal(25.0, 10.0),
            row(LIVE, &|quantile| quantile_ms(&delays, quantile)).goal(250.0, 50.0),
        ])
    }

    async fn lone(&self) -> Result<Vec<Row>> {
        let length = self.plan.measured;
        self.gate.databases.checkpoint().await?;
        let obvious = self.pgbench.charge_alone(USERS, length).await?;
        self.gate.databases.checkpoint().await?;
        let alone = self.closed(1, length);
        let figures = alone.run(self.addr, &self.events(Users::All)).await?;
        self.feed.catch_up().await?;
        let row = |name, own, of_pgbench| {
            Row::new(name, Figure::millis(own)).against("pgbench", Figure::millis(of_pgbench))
        };
        Ok(vec![
            row(LONE, figures.mean_latency(), obvious.mean).goal(3.0, 2.0),
            row(LONE_MEDIAN, figures.latency(0.5), obvious.median),
        ])
    }

    async fn check(&self) -> Result<Vec<Row>> {
        let checks = Checks::new(&self.points_key);
        let mut request = Vec::new();
        let asked = checks.write(&mut request);
        let mut connection = Connection::open(self.addr).await?;
        let answer = connection.exchange(&request).await?;
        checks.check(asked, answer, Instant::now())?;
        let sample = text_of(answer)?.to_owned();
        let mut bare = process::command(&std::env::current_exe()?);
        bare.args(["bare-axum", &sample]);
        let bare =
            ServerProcess::start(bare, &self.gate.databases.data_dir.join("bare.log")).await?;
        let connections = self.plan.connections;
        let reference = self.best(bare.addr(), &checks, connections).await?;
        drop(bare);
        let best = self.best(self.addr, &checks, connections).await?;
        let row = best.row(CHECK, "bare axum", &reference);
        Ok(vec![row.goal(0.5, 0.8)])
    }

    fn events(&self, users: Users) -> Events {
        let messages = Rc::clone(&self.messages);
        Events::new(&self.webhook_key, users, messages, self.feed.clone())
    }

    async fn most(&self) -> Result<&Best> {
        if self.most.get().is_none() {
            let events = self.events(Users::All);
            let best = self.best(self.addr, &events, self.plan.connections).await?;
            let _ = self.most.set(best);
        }
        self.most.get().context("events were not measured")
    }

    /// pgbench over as many accounts as there are users.
    async fn obvious(&self) -> Result<&Best> {
        if self.obvious.get().is_none() {
            let _ = self.obvious.set(self.transactions(USERS).await?);
        }
        self.obvious.get().context("pgbench was not measured")
    }

    async fn transactions(&self, accounts: u32) -> Result<Best> {
        let measure = async |clients, length| {
            let per_second = self.pgbench.charge(accounts, clients, length).await?;
            note(&format!(
                "  pgbench, {accounts} accounts, {clients} clients: {per_second:.0}/s"
            ));
            anyhow::Ok((
                per_second,
                json!({ "clients": clients, "perSecond": per_second }),
            ))
        };
        self.best_of(self.plan.clients, measure).await
    }

    async fn best(
        &self,
        addr: SocketAddr,
        traffic: &impl Traffic,
        connections: &[usize],
    ) -> Result<Best> {
        let measure = async |connections, length| {
            let figures = self.closed(connections, length).run(addr, traffic).await?;
            let per_second = figures.per_second();
            note(&format!("  {connections} connections: {per_second:.0}/s"));
            let details = json!({
                "connections": connections,
                "perSecond": per_second,
                "p50": figures.latency(0.5),
                "p99": figures.latency(0.99),
            });
            anyhow::Ok((per_second, details))
        };
        self.best_of(connections, measure).await
    }

    /// Tries several concurrencies, and measures for longer with the best.
    async fn best_of(
        &self,
        concurrencies: &[usize],
        measure: impl AsyncFn(usize, Duration) -> Result<(f64, Value)>,
    ) -> Result<Best> {
        let mut tried = Vec::new();
        let mut best = (0.0, 1);
        for concurrency in concurrencies {
            let (per_second, details) = measure(*concurrency, self.plan.trial).await?;
            tried.push(details);
            if per_second > best.0 {
                best = (per_second, *concurrency);
            }
        }
        self.gate.databases.checkpoint().await?;
        let (per_second, details) = measure(best.1, self.plan.measured).await?;
        Ok(Best {
            per_second,
            details: json!({ "measured": details, "tried": tried }),
        })
    }

    const fn closed(&self, connections: usize, measured: Duration) -> Closed {
        Closed {
            connections,
            warm_up: self.plan.warm_up,
            measured,
        }
    }

    /// Every acknowledged message is in the ledger once, and the ledger agrees with itself.
    async fn books(&self) -> Result<Row> {
        self.feed.catch_up().await?;
        let (sent, acknowledged) = (self.messages.sent(), self.messages.acknowledged());
        let count: u64 = self
            .gate
            .sql("select count(*) from journal_entry where kind = 'charge'")
            .await?
            .parse()?;
        if count != acknowledged {
            bail!(
                "{sent} messages were sent, {acknowledged} acknowledged, and {count} are in the ledger"
            );
        }
        let (report, ended) = verify(&self.gate).await?;
        if !report.ok || report.count("charges") != acknowledged {
            bail!("tollgate verify found: {}", ended.stdout.trim());
        }
        let entries =
            Figure::per_second(real(report.count("entries")) / ended.elapsed.as_secs_f64());
        Ok(Row::new(VERIFY, entries).details(json!({
            "entries": report.count("entries"),
            "peakMegabytes": Figure::megabytes(ended.peak).value,
        })))
    }
}

impl Best {
    fn row(&self, name: Name<&str>, reference: &'static str, other: &Self) -> Row {
        Row::new(name, Figure::per_second(self.per_second))
            .against(reference, Figure::per_second(other.per_second))
            .details(json!({ "tollgate": self.details, (reference): other.details }))
    }
}

const SINGLE: Name<&str> = ("single", "webhook events, 10,000 accounts");
const HOT: Name<&str> = ("hot", "the same on one hot account");
const BATCHES: Name<&str> = ("batch", "events in batch requests of 100");
const STEADY: Name<&str> = ("p99", "p99 latency of single events at 70 % of the most");
const LIVE: Name<&str> = ("live", "p99 from answered to seen in the live feed at 70 %");
const LAG: Name<&str> = ("live-lag", "live feed caught up after full load");
const LONE: Name<&str> = ("lone", "a lone sequential client, mean latency");
const LONE_MEDIAN: Name<&str> = ("lone-median", "a lone sequential client, median latency");
const CHECK: Name<&str> = ("check", "check-balance without a hold");
const MEMORY: Name<&str> = ("memory", "server memory under full load, peak");
const VERIFY: Name<&str> = ("verify", "tollgate verify of this run: clean, entries");

/// What `tollgate verify --json` says.
#[derive(Debug, Deserialize)]
pub struct VerifyJson {
    pub ok: bool,
    passes: Vec<PassJson>,
}

/// What one way through the books looked at.
#[derive(Debug, Deserialize)]
struct PassJson {
    counts: BTreeMap<String, u64>,
}

impl VerifyJson {
    pub fn count(&self, of: &str) -> u64 {
        let passes = self.passes.iter();
        passes.filter_map(|pass| pass.counts.get(of)).sum()
    }
}

pub async fn verify(gate: &Gate<'_>) -> Result<(VerifyJson, process::CommandOutput)> {
    let ended = process::run(gate.command(&["verify", "--whole", "--json"]), "").await?;
    let report = serde_json::from_str(&ended.stdout)
        .with_context(|| format!("tollgate verify said: {}", ended.stderr.trim()))?;
    Ok((report, ended))
}
