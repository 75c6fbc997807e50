//! Recomputes everything the ledger claims, from its rows alone.

use std::sync::Arc;

use futures::TryStreamExt;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::price::PriceBook;
use shared::quote::quote;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::{self, Entry, Hash};
use crate::consumption::{Consumption, Line};
use crate::error::Result;
use crate::{Ledger, history, journal, prices};

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
    /// How many accounts (or messages without one) are broken.
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

/// An account while its entries go by.
struct Walk {
    account_id: Uuid,
    user_id: Option<String>,
    balance_nano: i64,
    entries: i64,
    last_hash: Hash,
    is_broken: bool,
}

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
        let mut report = VerifyReport::default();
        let versions = sqlx::query("select * from price_version")
            .fetch_all(&mut *tx)
            .await?
            .iter()
            .map(prices::version)
            .collect::<Result<Vec<_>>>()?;
        let book = Verifier {
            book: Arc::new(PriceBook::new(versions.clone())),
            versions: versions
                .into_iter()
                .map(|version| (version.id, version))
                .collect(),
        };
        let only = account.map(chain::account_id);
        walk_entries(&mut tx, only, &book, &mut report).await?;
        find_strays(&mut tx, only, &mut report).await?;
        find_wrong_rollups(&mut tx, only, &mut report).await?;
        tx.rollback().await?;
        report.ok = report.broken == 0;
        Ok(report)
    }
}

struct Verifier {
    book: Arc<PriceBook>,
    versions: std::collections::HashMap<i64, shared::price::PriceVersion>,
}

async fn walk_entries(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    verifier: &Verifier,
    report: &mut VerifyReport,
) -> Result<()> {
    // A full join: an account without entries and entries without an account both show up.
    let mut rows = sqlx::query(
        "select coalesce(a.account_id, j.account_id) as id, a.user_id,
                a.balance_nano as account_balance_nano, a.entry_count as account_entry_count,
                a.last_hash as account_last_hash, a.held_nano as account_held_nano,
                case when j.entry is null or j.entry = a.entry_count then (
                    select coalesce(sum(remaining_nano), 0)::bigint from credit
                    where credit.account_id = a.account_id) end as credits_nano,
                case when j.entry is null or j.entry = a.entry_count then (
                    select coalesce(sum(amount_nano), 0)::bigint from hold
                    where hold.account_id = a.account_id and status = 'open') end as holds_nano,
                j.entry, j.recorded_at, j.occurred_at, j.kind, j.amount_nano, j.counter_account,
                j.balance_after_nano, j.consumption_id as entry_consumption_id, j.corrects_entry,
                j.reason, j.actor, j.previous_hash, j.hash,
                c.consumption_id, c.namespace_id, c.message_id, c.conversation_id, c.request_id,
                c.api_key_id, c.entrance, c.occurred_at as used_at, c.total_tokens, c.charge_nano,
                c.lines, m.consumption_id as message_consumption_id
         from account a
         full join journal_entry j on j.account_id = a.account_id
         left join consumption c on c.account_id = j.account_id and c.entry = j.entry
             and c.recorded_at = j.recorded_at
         left join message m on m.namespace_id = c.namespace_id and m.message_id = c.message_id
         where $1::uuid is null or a.account_id = $1 or j.account_id = $1
         order by id, j.entry",
    )
    .bind(only)
    .fetch(tx);
    let mut walk: Option<(Walk, PgRow)> = None;
    while let Some(row) = rows.try_next().await? {
        let account_id: Uuid = row.try_get("id")?;
        let mut current = match walk.take() {
            Some((walk, _)) if walk.account_id == account_id => walk,
            done => {
                close(done, report)?;
                report.accounts += 1;
                Walk {
                    account_id,
                    user_id: row.try_get("user_id")?,
                    balance_nano: 0,
                    entries: 0,
                    last_hash: chain::genesis(account_id),
                    is_broken: false,
                }
            }
        };
        if row.try_get::<Option<i64>, _>("entry")?.is_some() {
            step(&mut current, &row, verifier, report)?;
        }
        walk = Some((current, row));
    }
    close(walk, report)
}

/// Checks one entry against the chain so far. After the first fault of an account the walk only
/// counts: everything behind a broken link would be reported for the same cause.
fn step(
    walk: &mut Walk,
    row: &PgRow,
    verifier: &Verifier,
    report: &mut VerifyReport,
) -> Result<()> {
    report.entries += 1;
    let number: i64 = row.try_get("entry")?;
    if row.try_get::<Option<Uuid>, _>("consumption_id")?.is_some() {
        report.consumptions += 1;
    }
    if walk.is_broken {
        return Ok(());
    }
    let previous_hash = journal::hash_from(row.try_get("previous_hash")?)?;
    let stored_hash = journal::hash_from(row.try_get("hash")?)?;
    let fault = fault_of(walk, row, verifier, number, &previous_hash, &stored_hash)?;
    if let Some(what) = fault {
        walk.is_broken = true;
        report.find(Finding {
            account_id: Some(walk.account_id),
            user_id: walk.user_id.clone(),
            entry: Some(number),
            what,
        });
        return Ok(());
    }
    walk.entries = number;
    walk.balance_nano = row.try_get("balance_after_nano")?;
    walk.last_hash = stored_hash;
    Ok(())
}

fn fault_of(
    walk: &Walk,
    row: &PgRow,
    verifier: &Verifier,
    number: i64,
    previous_hash: &Hash,
    stored_hash: &Hash,
) -> Result<Option<String>> {
    if number != walk.entries + 1 {
        return Ok(Some(format!(
            "entry {} is missing before entry {number}",
            walk.entries + 1
        )));
    }
    if *previous_hash != walk.last_hash {
        return Ok(Some("does not continue the entry before it".into()));
    }
    let entry = match entry(walk.account_id, row) {
        Ok(entry) => entry,
        Err(error) => return Ok(Some(format!("cannot be read: {error}"))),
    };
    if entry.hash(previous_hash) != *stored_hash {
        return Ok(Some("was changed: its hash does not match".into()));
    }
    if walk.balance_nano.checked_add(entry.amount_nano) != Some(entry.balance_after_nano) {
        return Ok(Some(
            "balance after it is not the balance before plus its amount".into(),
        ));
    }
    let named: Option<Uuid> = row.try_get("entry_consumption_id")?;
    if named != entry.consumption.as_ref().map(|used| used.consumption_id) {
        return Ok(Some("its consumption is missing or another one".into()));
    }
    let Some(consumption) = &entry.consumption else {
        return Ok(None);
    };
    if row.try_get::<Option<Uuid>, _>("message_consumption_id")? != named {
        return Ok(Some(
            "its message's identity is missing or names another consumption".into(),
        ));
    }
    if consumption.charge_nano.checked_neg() != Some(entry.amount_nano) {
        return Ok(Some(
            "takes another amount than its consumption's charge".into(),
        ));
    }
    Ok(verifier.price_fault(consumption))
}

impl Verifier {
    /// Prices a consumption again, by the versions it names.
    fn price_fault(&self, consumption: &Consumption) -> Option<String> {
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

/// The account row must say what the chain says.
fn close(walk: Option<(Walk, PgRow)>, report: &mut VerifyReport) -> Result<()> {
    let Some((walk, row)) = walk else {
        return Ok(());
    };
    if walk.is_broken {
        return Ok(());
    }
    let what = match row.try_get::<Option<i64>, _>("account_entry_count")? {
        None => Some("entries without an account".to_owned()),
        Some(count) if count != walk.entries => Some(format!(
            "the account counts {count} entries, the journal has {}: the last ones are missing",
            walk.entries
        )),
        Some(_) if row.try_get::<i64, _>("account_balance_nano")? != walk.balance_nano => {
            Some("the account's balance is not the sum of its entries".to_owned())
        }
        Some(_)
            if row.try_get::<Vec<u8>, _>("account_last_hash")?.as_slice()
                != walk.last_hash.as_slice() =>
        {
            Some("the account's last hash is not its last entry's".to_owned())
        }
        Some(_)
            if row.try_get::<Option<i64>, _>("credits_nano")? != Some(walk.balance_nano.max(0)) =>
        {
            Some("what is left of its credits is not its balance".to_owned())
        }
        Some(_)
            if row.try_get::<Option<i64>, _>("holds_nano")?
                != row.try_get("account_held_nano")? =>
        {
            Some("what it holds is not the sum of its open holds".to_owned())
        }
        Some(_) => None,
    };
    if let Some(what) = what {
        report.find(Finding {
            account_id: Some(walk.account_id),
            user_id: walk.user_id,
            entry: None,
            what,
        });
    }
    Ok(())
}

/// Consumptions without their entry, and message identities without their consumption.
async fn find_strays(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    report: &mut VerifyReport,
) -> Result<()> {
    let rows = sqlx::query(
        "select c.account_id, c.entry, c.message_id from consumption c
         where ($1::uuid is null or c.account_id = $1)
             and not exists (select 1 from journal_entry j where j.account_id = c.account_id
                 and j.entry = c.entry and j.recorded_at = c.recorded_at)
         union all
         select null, null, m.message_id from message m
         where $1::uuid is null and not exists (
             select 1 from consumption c where c.consumption_id = m.consumption_id)",
    )
    .bind(only)
    .fetch_all(tx)
    .await?;
    for row in &rows {
        let message_id: String = row.try_get("message_id")?;
        report.find(Finding {
            account_id: row.try_get("account_id")?,
            user_id: None,
            entry: row.try_get("entry")?,
            what: format!("message {message_id} is recorded without its journal entry"),
        });
    }
    Ok(())
}

/// Rollups that are not the sum of their entries, and entries without a rollup.
async fn find_wrong_rollups(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    report: &mut VerifyReport,
) -> Result<()> {
    let rows = sqlx::query(
        "with summed as (
             select j.account_id, date_trunc('hour', j.recorded_at, 'UTC') as hour, j.kind,
                    coalesce(l.line ->> 'modelKey', '') as model_key,
                    coalesce(c.api_key_id, '00000000-0000-0000-0000-000000000000') as api_key_id,
                    count(*) as entries,
                    sum(coalesce(-(l.line ->> 'chargeNano')::numeric, j.amount_nano)) as amount_nano,
                    sum(coalesce((l.line #>> '{tokens,input}')::numeric, 0)
                        + coalesce((l.line #>> '{tokens,cachedInput}')::numeric, 0)
                        + coalesce((l.line #>> '{tokens,cacheWrite}')::numeric, 0)) as input_tokens,
                    sum(coalesce((l.line #>> '{tokens,output}')::numeric, 0)
                        + coalesce((l.line #>> '{tokens,reasoning}')::numeric, 0)) as output_tokens
             from journal_entry j
             left join consumption c on c.account_id = j.account_id and c.entry = j.entry
                 and c.recorded_at = j.recorded_at
             left join lateral jsonb_array_elements(c.lines) as l (line) on true
             where $1::uuid is null or j.account_id = $1
             group by 1, 2, 3, 4, 5
         )
         select coalesce(s.account_id, r.account_id) as account_id,
                coalesce(s.hour, r.hour)::text as hour, coalesce(s.kind, r.kind) as kind
         from summed s
         full join (select * from rollup where $1::uuid is null or account_id = $1) r
             using (account_id, hour, kind, model_key, api_key_id)
         where (s.entries, s.amount_nano, s.input_tokens, s.output_tokens)
             is distinct from (r.entries, r.amount_nano, r.input_tokens, r.output_tokens)
         order by 1, 2 limit 1000",
    )
    .bind(only)
    .fetch_all(tx)
    .await?;
    for row in &rows {
        let (hour, kind): (String, String) = (row.try_get("hour")?, row.try_get("kind")?);
        report.find(Finding {
            account_id: row.try_get("account_id")?,
            user_id: None,
            entry: None,
            what: format!(
                "the rollup of {kind} in the hour of {hour} is not the sum of its entries"
            ),
        });
    }
    Ok(())
}

fn entry(account_id: Uuid, row: &PgRow) -> Result<Entry> {
    let kind = history::entry_kind(row.try_get("kind")?)?;
    let counter_account = journal::counter_account(kind);
    if row.try_get::<&str, _>("counter_account")? != counter_account {
        return Err(crate::Error::corrupt(
            "the counter account does not fit the kind",
        ));
    }
    Ok(Entry {
        account_id,
        entry: row.try_get("entry")?,
        recorded_at: row.try_get("recorded_at")?,
        occurred_at: row.try_get("occurred_at")?,
        kind,
        amount_nano: row.try_get("amount_nano")?,
        counter_account,
        balance_after_nano: row.try_get("balance_after_nano")?,
        corrects_entry: row.try_get("corrects_entry")?,
        reason: row.try_get("reason")?,
        actor: row.try_get("actor")?,
        consumption: match row.try_get::<Option<Uuid>, _>("consumption_id")? {
            Some(consumption_id) => Some(consumption(row, consumption_id)?),
            None => None,
        },
    })
}

fn consumption(row: &PgRow, consumption_id: Uuid) -> Result<Consumption> {
    let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
    Ok(Consumption {
        consumption_id,
        namespace_id: row.try_get("namespace_id")?,
        message_id: row.try_get("message_id")?,
        conversation_id: row.try_get("conversation_id")?,
        request_id: row.try_get("request_id")?,
        api_key_id: row.try_get("api_key_id")?,
        entrance: row.try_get("entrance")?,
        occurred_at: row.try_get::<OffsetDateTime, _>("used_at")?,
        total_tokens: row.try_get("total_tokens")?,
        charge_nano: row.try_get("charge_nano")?,
        lines,
    })
}
