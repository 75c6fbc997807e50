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
mod plan;
mod postgres;
mod process;
mod proxy;
mod request;
mod table;
mod traffic;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use testkit::{dify_streams, provider};
use tokio::signal::unix::{SignalKind, signal};

use crate::place::TestBed;
use crate::plan::{Options, note};
use crate::table::{Row, Table};

/// Measures the release server and what it is compared with.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct BenchArgs {
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

fn main() -> ExitCode {
    let BenchArgs { command, options } = BenchArgs::parse();
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
    let place = TestBed::take(&options.folder).await?;
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

async fn measure(options: &Options, place: &TestBed) -> Result<Table> {
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
