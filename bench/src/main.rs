//! `make bench`: measures the release server against what the obvious design does on the same
//! machine, prints one table, and writes it as JSON. It measures and does not judge: its exit
//! status says whether everything could be measured and every answer was right.

mod answer;
mod bare;
mod charging;
mod connection;
mod feed;
mod gate;
mod gateway;
mod journal;
mod load;
mod models;
mod place;
mod postgres;
mod process;
mod proxy;
mod request;
mod table;
mod traffic;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use testkit::{dify_streams, provider};
use tokio::signal::unix::{SignalKind, signal};

use crate::place::Place;
use crate::table::{Row, Table};

/// Measures the release server and what it is compared with.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the bare handler that check-balance is compared with; the measurement starts it.
    #[command(hide = true)]
    BareAxum {
        /// The body that it answers with.
        answer: String,
    },
    /// Serve the streams that the gateway passes on; the measurement starts it.
    #[command(hide = true)]
    Dify,
    /// Serve the answers that the model gateway passes on; the measurement starts it.
    #[command(hide = true)]
    Provider,
    /// Serve the bare proxy that the model gateway is compared with; the measurement starts it.
    #[command(hide = true)]
    Proxy {
        /// Where it passes everything on to.
        upstream: String,
    },
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Seconds for each part and a journal of 100 thousand entries: to try the tool, not to measure.
    #[arg(long)]
    quick: bool,
    /// Only this part; may be given several times.
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// The program to measure.
    #[arg(long, value_name = "FILE", default_value = "target/release/tollgate")]
    tollgate: PathBuf,
    /// Where the table goes as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// Where the databases lie meanwhile; removed at the end.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench-data")]
    folder: PathBuf,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Single events over many accounts.
    Single,
    /// Single events of one account.
    Hot,
    /// Events in batches.
    Batch,
    /// Latencies of events and of the live feed at 70 % of the most.
    Steady,
    /// A lone client.
    Lone,
    /// Check-balance.
    Check,
    /// History pages of a long journal.
    History,
    /// The memory of `tollgate verify` on a long journal.
    Verify,
    /// What the gateway adds to streams.
    Gateway,
    /// Calls through the model gateway.
    ModelGateway,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn wants_any(&self, parts: &[Part]) -> bool {
        parts.iter().any(|part| self.wants(*part))
    }

    const fn plan(&self) -> Plan {
        let second = Duration::from_secs(1);
        if self.quick {
            Plan {
                connections: &[16, 128],
                batch_connections: &[4, 16],
                clients: &[2, 16],
                warm_up: Duration::from_millis(200),
                trial: Duration::from_millis(500),
                measured: Duration::from_secs(2),
                steady: Duration::from_secs(4),
                page: second,
                entries: 100_000,
            }
        } else {
            Plan {
                connections: &[8, 32, 64, 128, 256, 512],
                batch_connections: &[1, 2, 4, 8, 16, 32],
                clients: &[1, 2, 4, 8, 16, 32, 64],
                warm_up: Duration::from_millis(500),
                trial: Duration::from_secs(2),
                measured: Duration::from_secs(8),
                steady: Duration::from_secs(15),
                page: Duration::from_secs(2),
                entries: 10_000_000,
            }
        }
    }
}

/// How long and how much.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Concurrencies to try.
    connections: &'static [usize],
    batch_connections: &'static [usize],
    clients: &'static [usize],
    /// Before anything counts.
    warm_up: Duration,
    /// For finding the best concurrency.
    trial: Duration,
    /// For measuring with the best one.
    measured: Duration,
    /// For latencies at a fixed rate.
    steady: Duration,
    /// For each kind of history page.
    page: Duration,
    /// In the long journal.
    entries: u64,
}

fn main() -> ExitCode {
    let CommandLine { command, options } = CommandLine::parse();
    let ended = match command {
        Some(Command::BareAxum { answer }) => on_all_threads(bare::serve(&answer)),
        Some(Command::Dify) => {
            on_all_threads(bare::listen("A stand-in for Dify", dify_streams::routes()))
        }
        Some(Command::Provider) => on_all_threads(bare::listen(
            "A stand-in for a model provider",
            provider::measured(),
        )),
        Some(Command::Proxy { upstream }) => on_all_threads(proxy::serve(&upstream)),
        None => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(Box::pin(bench(&options)))),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves with as many threads as the measured server has.
fn on_all_threads(serving: impl Future<Output = Result<()>>) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serving).map(|()| true)
}

/// Measures, tells, and leaves nothing behind, however it ends.
async fn bench(options: &Options) -> Result<bool> {
    if !options.tollgate.is_file() {
        bail!("there is no {}; run make build", options.tollgate.display());
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let place = Place::take(&options.folder).await?;
    let measured = {
        // Dropped at the end of this block, and with it every process that it has started.
        let measuring = Box::pin(measure(options, &place));
        tokio::select! {
            table = measuring => table,
            _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
            _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
        }
    };
    place.leave().await?;
    let table = measured?;
    drop(writeln!(io::stdout(), "{}", table.text()));
    let json = serde_json::to_string_pretty(&table.json())?;
    std::fs::write(&options.json, json + "\n")
        .with_context(|| options.json.display().to_string())?;
    Ok(table.is_ok())
}

async fn measure(options: &Options, place: &Place) -> Result<Table> {
    let mut table = Table::default();
    let plan = options.plan();
    if options.wants_any(charging::PARTS) {
        Box::pin(charging::measure(options, &plan, place, &mut table)).await?;
    }
    if options.wants_any(journal::PARTS) {
        Box::pin(journal::measure(options, &plan, place, &mut table)).await?;
    }
    if options.wants_any(gateway::PARTS) {
        Box::pin(gateway::measure(options, &plan, place, &mut table)).await?;
    }
    if options.wants_any(models::PARTS) {
        Box::pin(models::measure(options, &plan, place, &mut table)).await?;
    }
    // In the order in which the figures are demanded.
    let place_of = |row: &Row| {
        ORDER
            .iter()
            .position(|id| *id == row.id)
            .unwrap_or(ORDER.len())
    };
    table.rows.sort_by_key(place_of);
    Ok(table)
}

const ORDER: &[&str] = &[
    "single",
    "hot",
    "batch",
    "p99",
    "lone",
    "check",
    "history",
    "live",
    "memory",
    "gateway_first",
    "gateway_event",
    "model_gateway",
    "model_gateway_p50",
    "model_gateway_p99",
];

/// Says on standard error what is going on.
fn note(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
