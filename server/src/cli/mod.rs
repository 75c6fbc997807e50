//! The command line: `tollgate <command>`. Every command works whether or not a server is running.

mod admin;
mod balance;
mod completeness;
mod jobs;
mod key;
mod migrate;
mod points;
mod price;
mod quarantine;
mod rerate;
mod serve;
mod simulate;
mod source;
mod user;
mod verify;

use std::ffi::OsString;
use std::fmt::Display;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use ledger::Actor;
use shared::clock::Timestamp;
use shared::locale::Locale;

use crate::books::{Books, Opening};
use crate::config::Config;
use crate::telemetry;
use crate::terminal::{note, say};

/// A prepaid gate for AI apps built with Dify: prices every message and takes the points, once.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    after_help = "Without a command, the server is started.\n\n\
                  TOLLGATE_POSTGRES_BIN names the folder of Postgres's programs (initdb, postgres) \
                  for the private Postgres, where it does not find them by itself."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server.
    Serve,
    /// Make an installation, or bring its database schema up to date. Starting the server does so
    /// too; all other commands use only one that is there.
    Migrate,
    /// Manage administrators.
    #[command(subcommand)]
    Admin(admin::Command),
    /// Manage API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Connect Dify: keys that open one entrance each, with what to enter in Dify.
    #[command(subcommand)]
    Source(source::Command),
    /// Publish prices.
    #[command(subcommand)]
    Price(price::Command),
    /// Add points to an account, take some, or give back what a message cost.
    #[command(subcommand)]
    Points(points::Command),
    /// Show what an account holds.
    Balance(balance::Balance),
    /// Look at the messages that could not be charged, and end their wait.
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Price past messages again: shows what would change for whom, and enters it with --apply.
    Rerate(rerate::Rerate),
    /// Ask Dify what the app behind a source has served, and show what never arrived.
    Completeness(completeness::Check),
    /// Show the work that goes on behind requests, newest first.
    Jobs(jobs::Jobs),
    /// Check every account against its journal, digit by digit.
    Verify(verify::Verify),
    /// Help an end user in.
    #[command(subcommand)]
    User(user::Command),
    /// Send simulated messages to a running server, to try it out or to measure it.
    Simulate(simulate::Simulate),
}

/// What a command says at its end.
struct Report {
    text: String,
    is_ok: bool,
}

impl Report {
    fn ok(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_ok: true,
        }
    }

    fn json(value: &impl serde::Serialize) -> Result<Self> {
        Ok(Self::ok(serde_json::to_string(value)?))
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    run_with(std::env::args_os())
}

fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let CommandLine { command, config } = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")
        .and_then(|runtime| runtime.block_on(execute(command.unwrap_or(Command::Serve), &config)));
    match ended {
        Ok(report) => {
            say(&report.text);
            ExitCode::from(u8::from(!report.is_ok))
        }
        Err(error) => {
            note(&format!("error: {}", on_one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command, config: &Config) -> Result<Report> {
    let default_filter = match command {
        // What Postgres notes while the schema is checked is of no interest.
        Command::Serve => "info,sqlx=warn",
        _ => "warn",
    };
    telemetry::start(config.log.as_deref().unwrap_or(default_filter))?;
    if matches!(command, Command::Serve) {
        return Box::pin(serve::run(config)).await;
    }
    let opening = match command {
        Command::Migrate => Opening::Prepare,
        _ => Opening::Use,
    };
    let books = Box::pin(Books::open(config, opening)).await?;
    let ledger = &books.ledger;
    match command {
        Command::Serve | Command::Migrate => Ok(migrate::run()),
        Command::Admin(command) => command.run(ledger, config).await,
        Command::Key(command) => command.run(ledger, config).await,
        Command::Source(command) => Box::pin(command.run(ledger, config)).await,
        Command::Price(command) => command.run(ledger).await,
        Command::Points(command) => command.run(ledger).await,
        Command::Balance(command) => command.run(ledger).await,
        Command::Quarantine(command) => command.run(ledger).await,
        Command::Rerate(command) => command.run(ledger).await,
        Command::Completeness(command) => Box::pin(command.run(ledger)).await,
        Command::Jobs(command) => command.run(ledger).await,
        Command::Verify(command) => command.run(ledger).await,
        Command::User(command) => command.run(ledger, config).await,
        Command::Simulate(command) => Box::pin(command.run(ledger, config)).await,
    }
}

/// An error with its causes. Some errors repeat their cause in their own words already.
fn on_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// Who acts, as the audit log names them.
fn actor() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    Actor {
        name: name.unwrap_or_else(|| "operator".to_owned()),
        origin: "command line".to_owned(),
    }
}

/// A problem of the ledger in words, for a person at a terminal.
fn in_words(error: ledger::Error) -> anyhow::Error {
    match error {
        ledger::Error::Problem(problem) => anyhow!(problem.message(Locale::En)),
        error => error.into(),
    }
}

/// For clap: reads a moment, of which a bare date is the beginning in UTC.
fn moment(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    text.parse()
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .map_err(|_| {
            "must be a date such as 2026-01-31, or a time such as 2026-01-31T10:30:00Z".to_owned()
        })
}

/// For clap: reads a value by `FromStr` and says what is wrong with it.
fn parsed<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow!("refused")
            .context("database: refused")
            .context("no answer");
        assert_eq!(on_one_line(&error), "no answer: database: refused");
    }

    #[test]
    fn every_environment_variable_is_explained() {
        for argument in CommandLine::command().get_arguments() {
            if argument.get_env().is_some() {
                assert!(argument.get_help().is_some(), "{}", argument.get_id());
            }
        }
    }
}
