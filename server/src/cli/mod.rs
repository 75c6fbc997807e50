//! The command line: `tollgate <command>`. Every command works whether or not a server is running.

mod admin;
mod argument;
mod balance;
mod completeness;
mod ending;
mod jobs;
mod key;
mod migrate;
mod operator;
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
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::books::{Books, Opening};
use crate::config::Config;
use crate::telemetry;
use crate::terminal::{note, say};
use ending::{Ending, on_one_line};

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
    Admin(admin::AdminCommand),
    /// Manage API keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Connect Dify: keys that open one entrance each, with what to enter in Dify.
    #[command(subcommand)]
    Source(source::SourceCommand),
    /// Publish prices.
    #[command(subcommand)]
    Price(price::PriceCommand),
    /// Add points to an account, take some, or give back what a message cost.
    #[command(subcommand)]
    Points(points::PointsCommand),
    /// Show what an account holds.
    Balance(balance::BalanceArgs),
    /// Look at the messages that could not be charged, and end their wait.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Re-rate past messages: shows what would change for whom, and enters it with --apply.
    Rerate(rerate::RerateArgs),
    /// Ask Dify what the app behind a source has served, and show what never arrived.
    Completeness(completeness::Check),
    /// Show the work that goes on behind requests, newest first.
    Jobs(jobs::Jobs),
    /// Check every account against its journal, digit by digit.
    Verify(verify::Verify),
    /// Help an end user in.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Send simulated messages to a running server, to try it out or to measure it.
    Simulate(simulate::Simulate),
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
        Ok(ending) => {
            say(&ending.text);
            ExitCode::from(u8::from(!ending.is_ok))
        }
        Err(error) => {
            note(&format!("error: {}", on_one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command, config: &Config) -> Result<Ending> {
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
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
