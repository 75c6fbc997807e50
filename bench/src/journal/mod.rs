//! A journal that has grown for a year, beside a young one: history pages and `tollgate verify`
//! must not notice the difference.

mod chain;
mod filling;

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use private_postgres::Durability;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use shared::clock::Timestamp;
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;

use self::filling::{Filling, MODELS};
use crate::charging::verify;
use crate::connection::Connection;
use crate::gate::Gate;
use crate::load::{latencies, quantile_ms, real, record};
use crate::place::{Databases, TestBed};
use crate::plan::{Measurement, Options, Plan, note};
use crate::request::head;
use crate::table::{Figure, Name, Row, Table};
use crate::traffic::text_of;

pub const PARTS: &[Measurement] = &[Measurement::History, Measurement::Verify];

/// Entries of the young journal.
const YOUNG: u64 = 10_000;
/// Whoever has a tenth of all entries.
const READER: &str = "reader-0";
const PAGE_ITEMS: usize = 50;

const SHAPE: &str = include_str!("../../sql/journal_shape.sql");
const END: &str = include_str!("../../sql/journal_end.sql");
/// Entries of one transaction.
const TRANSACTION_ENTRIES: u64 = 20_000;
/// One for each of the CPUs that this is meant for.
const TRANSACTIONS_AT_ONCE: usize = 2;

/// # Errors
/// When Postgres cannot be set up; what fails later is a row of the table.
pub async fn measure(
    options: &Options,
    plan: &Plan,
    place: &TestBed,
    table: &mut Table,
) -> Result<()> {
    // Nothing in here is worth keeping, and reading does not differ.
    let databases = place.start("journal", Durability::Disposable).await?;
    // What the filling leaves to be tidied up is not measured here.
    let settings = "alter system set autovacuum = off;\nselect pg_reload_conf();";
    databases.sql("postgres", settings, &[]).await?;
    let journals = [("young", YOUNG), ("old", plan.entries)].map(|(database, entries)| Journal {
        gate: Gate {
            tollgate: &options.tollgate,
            databases: &databases,
            database,
        },
        entries,
    });
    let [young, old] = &journals;
    let lengths = format!(
        "{} entries, {} of them of the account that is read; in the young one {} and {}",
        old.entries,
        old.of_reader(),
        young.entries,
        young.of_reader()
    );
    table.conditions.push(("Long journal", lengths));
    for journal in &journals {
        journal.fill().await?;
    }
    let parts = [
        (
            Measurement::History,
            HISTORY,
            history(&journals, plan).boxed_local(),
        ),
        (
            Measurement::Verify,
            VERIFY,
            verification(&journals).boxed_local(),
        ),
    ];
    for (part, name, measuring) in parts {
        if options.wants(part) {
            note(name.1);
            match measuring.await {
                Ok(rows) => table.rows.extend(rows),
                Err(error) => table.rows.push(Row::failed(name, &error)),
            }
        }
    }
    Ok(())
}

const HISTORY: Name<&str> = (
    "history",
    "history page of 50 in a long journal, the worst kind, median",
);
const VERIFY: Name<&str> = (
    "verify-memory",
    "peak memory of tollgate verify on a long journal",
);
const VERIFY_SPEED: Name<&str> = ("verify-speed", "tollgate verify on a long journal, entries");

/// A database with a journal of so many entries.
struct Journal<'a> {
    gate: Gate<'a>,
    entries: u64,
}

impl Journal<'_> {
    async fn fill(&self) -> Result<()> {
        let (begun, total) = (Instant::now(), self.entries.to_string());
        note(&format!("Filling a journal with {total} entries"));
        let (databases, database): (&Databases, _) = (self.gate.databases, self.gate.database);
        databases.create(database).await?;
        self.gate.install().await?;
        for model in MODELS {
            self.gate.price(model).await?;
        }
        self.gate.key("webhook").await?;
        databases.sql(database, SHAPE, &[]).await?;
        let ends_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let mut api_key = [0; 16];
        let source = "select replace(api_key_id::text, '-', '') from api_key";
        hex::decode_to_slice(self.gate.sql(source).await?, &mut api_key)?;
        let namespace = self.gate.sql("select namespace_id from api_key").await?;
        let ends_at = u64::try_from(ends_at)?;
        let mut filling = Filling::new(self.entries, ends_at, api_key, namespace.parse()?);
        let step = usize::try_from(TRANSACTION_ENTRIES)?;
        stream::iter((1..=self.entries).step_by(step))
            .map(|first| {
                let last = (first + TRANSACTION_ENTRIES - 1).min(self.entries);
                let transaction = filling.transaction(first..=last);
                async move { databases.sql(database, &transaction?, &[]).await }
            })
            .buffered(TRANSACTIONS_AT_ONCE)
            .try_for_each(async |_| Ok(()))
            .await?;
        let accounts = filling.accounts()?;
        databases.sql(database, &accounts, &[]).await?;
        self.gate.sql(END).await?;
        let filled = begun.elapsed().as_secs_f64();
        let ledger = self.gate.ledger(2).await?;
        ledger.sum_up().await?;
        // Of what is long past, sums by days are left.
        ledger.maintain().await?;
        drop(ledger);
        self.gate.databases.checkpoint().await?;
        let summed = begun.elapsed().as_secs_f64() - filled;
        note(&format!(
            "  filled in {filled:.0} s, summed up in {summed:.0} s"
        ));
        Ok(())
    }

    /// How many of the entries are the reader's.
    const fn of_reader(&self) -> u64 {
        self.entries / 10
    }
}

/// A kind of history page.
struct PageKind {
    name: Name<&'static str>,
    /// The query that asks for it, of a reader with so many entries, as the page with this number.
    query: fn(entries: u64, number: u64) -> String,
}

const KINDS: [PageKind; 6] = [
    PageKind {
        name: ("history-first", "history: the first page"),
        query: |_, _| String::new(),
    },
    PageKind {
        name: ("history-deep", "history: a deep page"),
        // Between a tenth and nine tenths of the way back, another each time.
        query: |entries, number| {
            let share = 100 + number * 617 % 800;
            // The entries are spread evenly over a year.
            let age =
                Duration::seconds(i64::try_from(365 * 86400 * (1000 - share) / 1000).unwrap_or(0));
            let recorded_at = (OffsetDateTime::now_utc() - age).unix_timestamp();
            format!("&cursor={}-{recorded_at}", entries * share / 1000)
        },
    },
    PageKind {
        name: ("history-model", "history: one of two models"),
        query: |_, _| "&modelName=gpt-4".to_owned(),
    },
    PageKind {
        name: ("history-old-model", "history: a model last used long ago"),
        query: |_, _| "&modelName=gpt-3.5-turbo".to_owned(),
    },
    PageKind {
        name: ("history-kind", "history: grants, one of 20 entries"),
        query: |_, _| "&kind=grant".to_owned(),
    },
    PageKind {
        name: ("history-time", "history: until half a year ago"),
        query: |_, _| {
            let to = Timestamp::new(OffsetDateTime::now_utc() - Duration::days(182));
            format!("&to={to}")
        },
    },
];

async fn history(journals: &[Journal<'_>; 2], plan: &Plan) -> Result<Vec<Row>> {
    let [young, old] = journals;
    let (young_server, old_server) = (young.gate.serve().await?, old.gate.serve().await?);
    let mut young = PageReader::open(young, young_server.addr()).await?;
    let mut old = PageReader::open(old, old_server.addr()).await?;
    let mut rows = Vec::new();
    for kind in &KINDS {
        let mut number = 0;
        for length in [plan.page / 4, plan.page] {
            // Everything before the last round was to warm up.
            young.micros.reset();
            old.micros.reset();
            let until = Instant::now() + length;
            loop {
                // In turn, so that whatever else the machine does hits both.
                young.read(kind, number).await?;
                old.read(kind, number).await?;
                number += 1;
                if Instant::now() >= until {
                    break;
                }
            }
        }
        let row = Row::new(kind.name, Figure::millis(old.median()))
            .against("in the young journal", Figure::millis(young.median()))
            .details(json!({
                "pages": old.micros.len(),
                "p99": quantile_ms(&old.micros, 0.99),
                "youngP99": quantile_ms(&young.micros, 0.99),
            }));
        note(&format!(
            "{}: {:.2} ms, in the young journal {:.2} ms",
            kind.name.1,
            old.median(),
            young.median()
        ));
        rows.push(row);
    }
    let worst = rows
        .iter()
        .max_by(|one, other| {
            let ratio = |row: &Row| row.ratio().unwrap_or(0.0);
            ratio(one).total_cmp(&ratio(other))
        })
        .context("no page was read")?;
    let worst_row = Row {
        id: HISTORY.0,
        what: HISTORY.1.to_owned(),
        measured: worst.measured.clone(),
        reference: worst.reference,
        goal: None,
        details: json!({ "worst": worst.id }),
    }
    .goal(1.5, 1.1);
    rows.insert(0, worst_row);
    Ok(rows)
}

/// A client that reads one journal's pages.
struct PageReader {
    connection: Connection,
    key: String,
    entries: u64,
    micros: Histogram<u64>,
}

#[derive(Deserialize)]
struct HistoryPage {
    data: Items,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<IgnoredAny>,
}

impl PageReader {
    async fn open(journal: &Journal<'_>, addr: SocketAddr) -> Result<Self> {
        let key = journal.gate.key("points").await?;
        Ok(Self {
            connection: Connection::open(addr).await?,
            key,
            entries: journal.of_reader(),
            micros: latencies()?,
        })
    }

    fn median(&self) -> f64 {
        quantile_ms(&self.micros, 0.5)
    }

    async fn read(&mut self, kind: &PageKind, number: u64) -> Result<()> {
        let query = (kind.query)(self.entries, number);
        let path = format!("/api/user/points/history?userId={READER}&limit={PAGE_ITEMS}{query}");
        let request = head("GET", &path, &self.key) + "\r\n";
        let begun = Instant::now();
        let answer = self.connection.exchange(request.as_bytes()).await?;
        record(&mut self.micros, begun.elapsed());
        let page: HistoryPage = serde_json::from_str(text_of(answer)?).context("a history page")?;
        let items = page.data.items.len();
        if items != PAGE_ITEMS {
            bail!("{}: {items} items instead of {PAGE_ITEMS}", kind.name.1);
        }
        Ok(())
    }
}

/// How much more memory `tollgate verify` takes for the long journal, and how fast it is.
async fn verification([young, old]: &[Journal<'_>; 2]) -> Result<Vec<Row>> {
    let young = (young, run_verify(young).await?);
    let old = (old, run_verify(old).await?);
    let memory = Row::new(VERIFY, old.1.peak).against("in the young journal", young.1.peak);
    let per_second = |journal: &Journal<'_>, ended: &Verified| {
        Figure::per_second(real(journal.entries) / ended.seconds)
    };
    let speed = Row::new(VERIFY_SPEED, per_second(old.0, &old.1))
        .against("in the young journal", per_second(young.0, &young.1));
    let details = json!({
        "entries": old.0.entries,
        "seconds": old.1.seconds,
        "youngEntries": young.0.entries,
        "youngSeconds": young.1.seconds,
    });
    Ok(vec![
        memory.details(details.clone()),
        speed.details(details),
    ])
}

struct Verified {
    peak: Figure,
    seconds: f64,
}

async fn run_verify(journal: &Journal<'_>) -> Result<Verified> {
    note(&format!(
        "Running tollgate verify on {} entries",
        journal.entries
    ));
    let (report, ended) = verify(&journal.gate).await?;
    let (seconds, peak) = (ended.elapsed.as_secs_f64(), Figure::megabytes(ended.peak));
    note(&format!("  {seconds:.1} s, at most {:.1} MB", peak.value));
    let entries = report.count("entries");
    if !report.ok || entries != journal.entries {
        bail!(
            "tollgate verify counted {entries} entries, and found: {}",
            ended.stdout.trim()
        );
    }
    Ok(Verified { peak, seconds })
}
