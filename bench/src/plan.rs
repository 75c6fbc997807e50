//! What is to be measured, and for how long.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Seconds for each part and a journal of 100 thousand entries: to try the tool, not to measure.
    #[arg(long)]
    pub quick: bool,
    /// Only this part; may be given several times.
    #[arg(long, value_name = "PART")]
    pub only: Vec<Measurement>,
    /// Entries of the long journal, in ten thousands.
    #[arg(long, value_name = "TEN_THOUSANDS")]
    pub journal: Option<u64>,
    /// The program to measure.
    #[arg(long, value_name = "FILE", default_value = "target/release/tollgate")]
    pub tollgate: PathBuf,
    /// Where the table goes as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    pub json: PathBuf,
    /// Where the databases lie meanwhile; removed at the end.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench-data")]
    pub folder: PathBuf,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
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
    pub fn wants(&self, part: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    pub fn wants_any(&self, parts: &[Measurement]) -> bool {
        parts.iter().any(|part| self.wants(*part))
    }

    pub fn plan(&self) -> Plan {
        let plan = self.whole_plan();
        let entries = self.journal.map(|tens| tens * 10_000);
        Plan {
            entries: entries.unwrap_or(plan.entries),
            ..plan
        }
    }

    const fn whole_plan(&self) -> Plan {
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
pub struct Plan {
    /// Concurrencies to try.
    pub connections: &'static [usize],
    pub batch_connections: &'static [usize],
    pub clients: &'static [usize],
    /// Before anything counts.
    pub warm_up: Duration,
    /// For finding the best concurrency.
    pub trial: Duration,
    /// For measuring with the best one.
    pub measured: Duration,
    /// For latencies at a fixed rate.
    pub steady: Duration,
    /// For each kind of history page.
    pub page: Duration,
    /// In the long journal.
    pub entries: u64,
}

/// Says on standard error what is going on.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
