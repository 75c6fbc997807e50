//! Messages and questions under load, beside pgbench on the same cluster.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ledger::cluster::Durability;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::feed::{Feed, Reader};
use crate::gate::Gate;
use crate::load::{Closed, Figures, Open, Schedule, Traffic, quantile_ms, real};
use crate::place::{Databases, Place};
use crate::postgres::{Pgbench, Transactions};
use crate::process::{self, Memory, Server};
use crate::table::{Figure, Row, Table, Unit};
use crate::traffic::{Checks, Events, Messages, USERS, Users, text_of};
use crate::{Options, Part, Plan, note};

pub const PARTS: &[Part] = &[
    Part::Single,
    Part::Hot,
    Part::Batch,
    Part::Steady,
    Part::Lone,
    Part::Check,
];

/// How many messages a batch carries.
const BATCH: u64 = 100;
/// Enough that one is always free at the rates of interest.
const STEADY_CONNECTIONS: usize = 256;
/// Of the most single messages a second.
const STEADY_PERCENT: u32 = 70;

/// # Errors
/// When the server or Postgres cannot be set up; what fails later is a row of the table.
pub async fn measure(
    options: &Options,
    plan: &Plan,
    place: &Place,
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
    gate.price(crate::traffic::MODEL).await?;
    let (webhook_key, points_key) = (gate.key("webhook").await?, gate.key("points").await?);
    note(&format!("Giving points to {USERS} users"));
    gate.give_points().await?;
    let server = gate.serve().await?;
    let feed = Feed::new(std::process::id())?;
    let reader = feed
        .connect(server.addr(), &gate.key("admin").await?)
        .await?;
    let mut bench = Bench {
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
        memory: Memory::default(),
        obvious: OnceCell::new(),
        steady_rate: OnceCell::new(),
    };
    Box::pin(bench.parts(options, table)).await;
    Ok(())
}

/// What has to be known to read the figures.
async fn conditions(databases: &Databases) -> Result<Vec<(&'static str, String)>> {
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
    server: Server,
    addr: SocketAddr,
    pgbench: Pgbench<'a>,
    webhook_key: String,
    points_key: String,
    messages: Rc<Messages>,
    feed: Feed,
    /// Connected during all load.
    _reader: Reader,
    /// The most that was seen after a load.
    memory: Memory,
    /// pgbench over all accounts, once measured: two figures refer to it.
    obvious: OnceCell<Best<Transactions>>,
    /// 70 % of the most single messages a second, once measured.
    steady_rate: OnceCell<u32>,
}

/// The best of several concurrencies.
struct Best<T> {
    figures: T,
    /// For the JSON: the concurrency that was best, and what each of them came to.
    details: Value,
}

impl Bench<'_> {
    async fn parts(&mut self, options: &Options, table: &mut Table) {
        let rows = &mut table.rows;
        let faults = &mut table.faults;
        macro_rules! part {
            ($part:ident, $id:literal, $what:expr, $measured:expr) => {
                if options.wants(Part::$part) {
                    note($what);
                    match Box::pin($measured).await {
                        Ok(measured) => rows.extend(measured),
                        Err(error) => {
                            rows.push(Row::failed($id, $what, &error));
                            self.feed.forget().await;
                        }
                    }
                    self.note_memory(faults);
                }
            };
        }
        part!(Single, "single", SINGLE, self.single());
        part!(Steady, "p99", STEADY, self.steady());
        part!(Hot, "hot", HOT, self.hot());
        part!(Batch, "batch", BATCHES, self.batches());
        part!(Lone, "lone", LONE, self.lone());
        part!(Check, "check", CHECK, self.check());
        rows.push(
            Row::new(
                "memory",
                "server memory under full load, peak",
                Figure::megabytes(self.memory.peak),
            )
            .goal(150.0, 80.0)
            .details(
                json!({ "residentMegabytesAfterLoad": Figure::megabytes(self.memory.now).value }),
            ),
        );
        note("Checking the books");
        match self.books().await {
            Ok(row) => rows.push(row),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }

    fn note_memory(&mut self, faults: &mut Vec<String>) {
        match self.server.memory() {
            Ok(memory) => {
                self.memory.now = self.memory.now.max(memory.now);
                self.memory.peak = memory.peak;
            }
            Err(error) => faults.push(format!("{error:#}")),
        }
    }

    async fn single(&self) -> Result<Vec<Row>> {
        let obvious = self.obvious().await?;
        let best = self
            .most(&self.events(Users::All), self.plan.connections)
            .await?;
        let _ = self
            .steady_rate
            .set(best.figures.percent_per_second(STEADY_PERCENT));
        let row = Row::new(
            "single",
            SINGLE,
            Figure::per_second(best.figures.per_second()),
        )
        .against("pgbench", Figure::per_second(obvious.figures.per_second))
        .goal(1.0, 2.0)
        .details(json!({ "tollgate": best.details, "pgbench": obvious.details }));
        let lag = self.lag().await?;
        Ok(vec![row, lag])
    }

    async fn hot(&self) -> Result<Vec<Row>> {
        let obvious = self.transactions(1).await?;
        let best = self
            .most(&self.events(Users::Hot), self.plan.connections)
            .await?;
        let row = Row::new("hot", HOT, Figure::per_second(best.figures.per_second()))
            .against(
                "pgbench on one row",
                Figure::per_second(obvious.figures.per_second),
            )
            .goal(3.0, 10.0)
            .details(json!({ "tollgate": best.details, "pgbench": obvious.details }));
        self.feed.catch_up().await?;
        Ok(vec![row])
    }

    async fn batches(&self) -> Result<Vec<Row>> {
        let obvious = self.obvious().await?;
        let batches = Events::in_batches(
            &self.webhook_key,
            BATCH,
            Rc::clone(&self.messages),
            self.feed.clone(),
        );
        let best = self.most(&batches, self.plan.batch_connections).await?;
        let row = Row::new(
            "batch",
            BATCHES,
            Figure::per_second(best.figures.per_second()),
        )
        .against("pgbench", Figure::per_second(obvious.figures.per_second))
        .goal(2.5, 5.0)
        .details(json!({ "tollgate": best.details, "pgbench": obvious.details }));
        self.feed.catch_up().await?;
        Ok(vec![row])
    }

    async fn steady(&self) -> Result<Vec<Row>> {
        let rate = match self.steady_rate.get() {
            Some(rate) => *rate,
            None => {
                let best = self
                    .most(&self.events(Users::All), self.plan.connections)
                    .await?;
                best.figures.percent_per_second(STEADY_PERCENT)
            }
        };
        // Nothing of the load before may be left in the feed.
        self.feed.catch_up().await?;
        drop(self.feed.take_delays()?);
        let open = Open {
            connections: STEADY_CONNECTIONS,
            schedule: Schedule::new(rate, self.plan.steady + self.plan.warm_up),
            warm_up: self.plan.warm_up,
        };
        self.gate.databases.checkpoint().await?;
        let figures = open.run(self.addr, &self.events(Users::All)).await?;
        self.feed.catch_up().await?;
        let delays = self.feed.take_delays()?;
        note(&format!(
            "  at {rate}/s: median {:.2} ms, p99 {:.2} ms",
            figures.latency(0.5),
            figures.latency(0.99)
        ));
        let details = |quantile: &dyn Fn(f64) -> f64| {
            json!({
                "perSecond": rate,
                "p50": quantile(0.5), "p90": quantile(0.9), "p999": quantile(0.999), "longest": quantile(1.0),
            })
        };
        Ok(vec![
            Row::new(
                "p99",
                format!("p99 latency of single events at 70 % of the most ({rate}/s)"),
                Figure::millis(figures.latency(0.99)),
            )
            .goal(25.0, 10.0)
            .details(details(&|quantile| figures.latency(quantile))),
            Row::new(
                "live",
                format!("p99 from answered to seen in the live feed at {rate}/s"),
                Figure::millis(quantile_ms(&delays, 0.99)),
            )
            .goal(250.0, 50.0)
            .details(details(&|quantile| quantile_ms(&delays, quantile))),
        ])
    }

    async fn lone(&self) -> Result<Vec<Row>> {
        self.gate.databases.checkpoint().await?;
        let (obvious, obvious_median) =
            self.pgbench.charge_alone(USERS, self.plan.measured).await?;
        self.gate.databases.checkpoint().await?;
        let alone = self.closed(1, self.plan.measured);
        let figures = alone.run(self.addr, &self.events(Users::All)).await?;
        self.feed.catch_up().await?;
        Ok(vec![
            Row::new("lone", LONE, Figure::millis(figures.mean_latency()))
                .against("pgbench", Figure::millis(obvious.latency))
                .goal(3.0, 2.0),
            Row::new(
                "lone-median",
                "a lone sequential client, median latency",
                Figure::millis(figures.latency(0.5)),
            )
            .against("pgbench", Figure::millis(obvious_median)),
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
        let bare = Server::start(bare, &self.gate.databases.data_dir.join("bare.log")).await?;
        let reference = self
            .best(bare.addr(), &checks, self.plan.connections)
            .await?;
        drop(bare);
        let best = self.most(&checks, self.plan.connections).await?;
        Ok(vec![
            Row::new(
                "check",
                CHECK,
                Figure::per_second(best.figures.per_second()),
            )
            .against(
                "bare axum",
                Figure::per_second(reference.figures.per_second()),
            )
            .goal(0.5, 0.8)
            .details(json!({ "tollgate": best.details, "bareAxum": reference.details })),
        ])
    }

    /// How long the live feed still has to tell once a full load has ended.
    async fn lag(&self) -> Result<Row> {
        let ended = Instant::now();
        self.feed.catch_up().await?;
        let what = "live feed caught up after the full load of single events";
        Ok(Row::new(
            "lag",
            what,
            Figure::new(ended.elapsed().as_secs_f64(), Unit::Seconds),
        ))
    }

    fn events(&self, users: Users) -> Events {
        Events::new(
            &self.webhook_key,
            users,
            Rc::clone(&self.messages),
            self.feed.clone(),
        )
    }

    /// pgbench over as many accounts as there are users, measured once.
    async fn obvious(&self) -> Result<&Best<Transactions>> {
        if self.obvious.get().is_none() {
            let _ = self.obvious.set(self.transactions(USERS).await?);
        }
        self.obvious.get().context("pgbench was not measured")
    }

    async fn transactions(&self, accounts: u32) -> Result<Best<Transactions>> {
        let mut tried = Vec::new();
        let mut best = (0.0, 1);
        // pgbench counts whole seconds.
        let trial = self.plan.trial.max(Duration::from_secs(2));
        for clients in self.plan.clients {
            let per_second = self
                .pgbench
                .charge(accounts, *clients, trial)
                .await?
                .per_second;
            note(&format!(
                "  pgbench, {accounts} accounts, {clients} clients: {per_second:.0}/s"
            ));
            tried.push(json!({ "clients": clients, "perSecond": per_second }));
            if per_second > best.0 {
                best = (per_second, *clients);
            }
        }
        self.gate.databases.checkpoint().await?;
        let (_, clients) = best;
        let figures = self
            .pgbench
            .charge(accounts, clients, self.plan.measured)
            .await?;
        let per_second = figures.per_second;
        note(&format!(
            "  pgbench, {accounts} accounts, {clients} clients, measured: {per_second:.0}/s"
        ));
        Ok(Best {
            figures,
            details: json!({ "clients": clients, "averageMs": figures.latency, "tried": tried }),
        })
    }

    async fn most(&self, traffic: &impl Traffic, connections: &[usize]) -> Result<Best<Figures>> {
        self.best(self.addr, traffic, connections).await
    }

    async fn best(
        &self,
        addr: SocketAddr,
        traffic: &impl Traffic,
        connections: &[usize],
    ) -> Result<Best<Figures>> {
        let mut tried = Vec::new();
        let mut best = (0.0, 1);
        for connections in connections {
            let figures = self
                .closed(*connections, self.plan.trial)
                .run(addr, traffic)
                .await?;
            let per_second = figures.per_second();
            note(&format!("  {connections} connections: {per_second:.0}/s"));
            tried.push(json!({
                "connections": connections,
                "perSecond": per_second,
                "p50": figures.latency(0.5),
                "p99": figures.latency(0.99),
            }));
            if per_second > best.0 {
                best = (per_second, *connections);
            }
        }
        let (_, connections) = best;
        self.gate.databases.checkpoint().await?;
        let figures = self
            .closed(connections, self.plan.measured)
            .run(addr, traffic)
            .await?;
        note(&format!(
            "  {connections} connections, measured: {:.0}/s",
            figures.per_second()
        ));
        let details = json!({
            "connections": connections,
            "p50": figures.latency(0.5),
            "p99": figures.latency(0.99),
            "tried": tried,
        });
        Ok(Best { figures, details })
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
            .sql("select count(*) from message")
            .await?
            .parse()?;
        if count != acknowledged {
            bail!(
                "{sent} messages were sent, {acknowledged} acknowledged, and {count} are in the ledger"
            );
        }
        let (report, ended) = verify(&self.gate).await?;
        if !report.ok || report.consumptions != acknowledged {
            bail!("tollgate verify found: {}", ended.stdout.trim());
        }
        let per_second = real(report.entries) / ended.elapsed.as_secs_f64();
        Ok(Row::new(
            "verify",
            format!("tollgate verify on this run's {} entries: clean, entries", report.entries),
            Figure::per_second(per_second),
        )
        .details(json!({ "peakMegabytes": Figure::megabytes(ended.peak).value, "entries": report.entries })))
    }
}

const SINGLE: &str = "webhook events, 10,000 accounts";
const HOT: &str = "the same on one hot account";
const BATCHES: &str = "events in batch requests of 100";
const STEADY: &str = "p99 latency of single events at 70 % of the most";
const LONE: &str = "a lone sequential client, mean latency";
const CHECK: &str = "check-balance without a hold";

/// What `tollgate verify --json` says.
#[derive(Debug, Deserialize)]
pub struct Report {
    pub ok: bool,
    pub entries: u64,
    pub consumptions: u64,
}

pub async fn verify(gate: &Gate<'_>) -> Result<(Report, process::Ended)> {
    let ended = process::run(gate.command(&["verify", "--json"]), "").await?;
    let report = serde_json::from_str(&ended.stdout)
        .with_context(|| format!("tollgate verify said: {}", ended.stderr.trim()))?;
    Ok((report, ended))
}
