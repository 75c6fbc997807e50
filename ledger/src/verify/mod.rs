//! Recomputes everything the ledger claims, from its rows alone.
//!
//! Rows are read in the order of the primary keys and looked at one by one: what is kept in memory
//! is the account under way, however long the journal is.

mod aliases;
mod strays;
mod sums;
mod walk;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::price::{PriceBook, PriceVersion};
use shared::quote::quote;
use uuid::Uuid;

use crate::consumption::Consumption;
use crate::error::Result;
use crate::{Ledger, chain, prices};

/// Findings listed at most; the count goes on.
const FINDINGS_LISTED_MAX: usize = 1000;

/// What verification found.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    pub ok: bool,
    pub accounts: u64,
    pub entries: u64,
    pub consumptions: u64,
    /// How many accounts are broken, and how many rows do not fit the entry they belong to.
    pub broken: u64,
    /// The first broken entry of each broken account, up to a thousand.
    pub findings: Vec<Finding>,
}

/// One place where the books are not what the ledger wrote.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub account_id: Option<Uuid>,
    pub user_id: Option<String>,
    pub entry: Option<i64>,
    pub what: String,
}

impl VerifyReport {
    fn find(&mut self, finding: Finding) {
        self.broken += 1;
        if self.findings.len() < FINDINGS_LISTED_MAX {
            self.findings.push(finding);
        }
    }
}

/// All tables that are joined have keys in the same order, so everything can be merged as it comes;
/// hashing or sorting the journal would take memory and disk for all of it first.
const READ_IN_ORDER: &str = "set local enable_hashjoin = off; set local enable_hashagg = off;
     set local enable_sort = off; set local enable_bitmapscan = off;
     set local max_parallel_workers_per_gather = 0; set local jit = off;
     set local plan_cache_mode = force_custom_plan";

impl Ledger {
    /// Walks every account's chain, or one's, in one consistent snapshot, row by row: memory stays
    /// flat however long the journal is.
    ///
    /// # Errors
    /// [`crate::Error::Database`]; what is wrong with the books is in the report.
    pub async fn verify(&self, account: Option<&UserId>) -> Result<VerifyReport> {
        let mut tx = self
            .pool()
            .begin_with("begin isolation level repeatable read read only")
            .await?;
        sqlx::raw_sql(READ_IN_ORDER).execute(&mut *tx).await?;
        let versions = sqlx::query("select * from price_version")
            .fetch_all(&mut *tx)
            .await?
            .iter()
            .map(prices::version)
            .collect::<Result<Vec<_>>>()?;
        let pricing = Pricing {
            book: Arc::new(PriceBook::new(versions.clone())),
            versions: versions
                .into_iter()
                .map(|version| (version.id, version))
                .collect(),
        };
        let only = account.map(chain::account_id);
        let mut report = VerifyReport::default();
        let messages = walk::entries(&mut tx, only, &pricing, &mut report).await?;
        walk::accounts_without_entries(&mut tx, only, &mut report).await?;
        strays::rows_without_entry(&mut tx, only, &mut report).await?;
        strays::rows_without_account(&mut tx, only, &mut report).await?;
        if only.is_none() {
            strays::messages_without_consumption(&mut tx, messages, &mut report).await?;
            strays::sightings_without_message(&mut tx, &mut report).await?;
            aliases::aliases(&mut tx, &mut report).await?;
        }
        tx.rollback().await?;
        report.ok = report.broken == 0;
        Ok(report)
    }
}

/// All price versions.
struct Pricing {
    book: Arc<PriceBook>,
    versions: HashMap<i64, PriceVersion>,
}

impl Pricing {
    /// Prices a consumption again, by the versions it names.
    fn fault_of(&self, consumption: &Consumption) -> Option<String> {
        let mut total: i128 = 0;
        for line in &consumption.lines {
            let Some(version) = self.versions.get(&line.price_version_id) else {
                return Some(format!(
                    "names price version {}, which is missing",
                    line.price_version_id
                ));
            };
            let in_force = self
                .book
                .in_force(&line.model_name, Timestamp::from(consumption.occurred_at));
            if in_force.map(|in_force| in_force.id) != Ok(version.id) {
                return Some(format!(
                    "price version {} was not in force when it happened",
                    version.id
                ));
            }
            let priced = quote(&version.rates, &line.tokens).map(|quote| quote.points);
            if priced != Ok(Points::from_nano(line.charge_nano)) {
                return Some("a line's charge is not its tokens times its price".into());
            }
            total += i128::from(line.charge_nano);
        }
        (total != i128::from(consumption.charge_nano))
            .then(|| "the charge is not the sum of its lines".into())
    }
}
