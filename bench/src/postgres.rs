//! Postgres by its own programs: `psql` for what is looked up and prepared, `pgbench` for the
//! obvious design that the server is compared with.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::load::{latencies, quantile_ms, record};
use crate::place::Databases;
use crate::process;

const TABLES: &str = include_str!("../sql/pgbench_tables.sql");
const CHARGE: &str = include_str!("../sql/pgbench_charge.sql");

impl Databases {
    fn program(&self, name: &str, database: &str) -> Command {
        let mut command = process::command(&self.bin.join(name));
        command
            .arg("--host")
            .arg(&self.socket_folder)
            .args(["--username", "tollgate"])
            .env("PGDATABASE", database);
        command
    }

    /// Runs statements, in which `:name` stands for a variable's value, and gives what they
    /// select: a line for each row, columns separated by `|`.
    pub async fn sql(
        &self,
        database: &str,
        statements: &str,
        variables: &[(&str, &str)],
    ) -> Result<String> {
        let mut psql = self.program("psql", database);
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args(["--set", "ON_ERROR_STOP=1"]);
        for (name, value) in variables {
            psql.args(["--set", &format!("{name}={value}")]);
        }
        // Read from its input: in an argument psql would not replace variables.
        psql.args(["--file", "-"]);
        Ok(process::output(psql, statements).await?.trim().to_owned())
    }

    pub async fn create(&self, database: &str) -> Result<()> {
        let statement = format!("create database {database}");
        self.sql("postgres", &statement, &[]).await.map(drop)
    }

    /// What every measurement begins with, so that none pays for what another has left to write.
    pub async fn checkpoint(&self) -> Result<()> {
        self.sql("postgres", "checkpoint", &[]).await.map(drop)
    }
}

/// The obvious design: a transaction for each message, of one statement for each of its rows.
pub struct Pgbench<'a> {
    databases: &'a Databases,
    folder: &'a Path,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latencies {
    pub mean: f64,
    pub median: f64,
}

const DATABASE: &str = "pgbench";

impl<'a> Pgbench<'a> {
    /// Makes the tables in a database of their own; `folder` is for scripts and logs.
    pub async fn prepare(databases: &'a Databases, folder: &'a Path) -> Result<Self> {
        databases.create(DATABASE).await?;
        databases.sql(DATABASE, TABLES, &[]).await?;
        fs::write(folder.join("charge.sql"), CHARGE)?;
        Ok(Self { databases, folder })
    }

    /// Charges accounts at random, the first so many of them; gives transactions a second.
    pub async fn charge(&self, accounts: u32, clients: usize, length: Duration) -> Result<f64> {
        let command = self.command(accounts, clients, length);
        number_after("tps = ", &process::output(command, "").await?)
    }

    /// The same by one client, one transaction after the other.
    pub async fn charge_alone(&self, accounts: u32, length: Duration) -> Result<Latencies> {
        const LOG: &str = "transactions";
        let mut command = self.command(accounts, 1, length);
        command
            .current_dir(self.folder)
            .args(["--log", "--log-prefix", LOG]);
        let mean = number_after("latency average = ", &process::output(command, "").await?)?;
        let mut micros = latencies()?;
        for entry in fs::read_dir(self.folder)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(LOG) {
                for line in fs::read_to_string(entry.path())?.lines() {
                    let latency = line.split(' ').nth(2).and_then(|field| field.parse().ok());
                    let latency = latency.context("a line of pgbench's log")?;
                    record(&mut micros, Duration::from_micros(latency));
                }
            }
        }
        Ok(Latencies {
            mean,
            median: quantile_ms(&micros, 0.5),
        })
    }

    fn command(&self, accounts: u32, clients: usize, length: Duration) -> Command {
        let mut command = self.databases.program("pgbench", DATABASE);
        command
            .args(["--no-vacuum", "--protocol", "prepared", "--file"])
            .arg(self.folder.join("charge.sql"))
            .args(["--define", &format!("accounts={accounts}")])
            .args(["--client", &clients.to_string()])
            .args(["--jobs", &clients.min(2).to_string()])
            .args(["--time", &length.as_secs().max(1).to_string()]);
        command
    }
}

/// The number that a line of pgbench's output begins with after its label.
fn number_after(label: &str, output: &str) -> Result<f64> {
    let number = || {
        let line = output.lines().find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next()?.parse().ok()
    };
    number().with_context(|| format!("pgbench said: {output}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbench_is_understood() {
        let output = "transaction type: charge.sql\nquery mode: prepared\n\
            number of failed transactions: 0 (0.000%)\nlatency average = 1.951 ms\n\
            initial connection time = 4.331 ms\n\
            tps = 512.614287 (without initial connection time)\n";
        let number = |label| number_after(label, output).expect("a number");
        assert!((number("tps = ") - 512.614_287).abs() < 1e-9);
        assert!((number("latency average = ") - 1.951).abs() < 1e-9);
        assert!(number_after("tps = ", "pgbench: error: connection failed").is_err());
    }
}
