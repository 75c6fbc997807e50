//! Rows as the ledger writes them, over a year, in the order of time. In the form that Postgres' `copy`
//! reads.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use time::OffsetDateTime;

use super::chain::{
    ChainHash, ChainedCharge, ChainedContent, ChainedEntry, Id, account_id, genesis, message_id,
};

const YEAR_MICROS: u64 = 365 * 86400 * 1_000_000;
/// Every twentieth entry brings 2,000 points, each of the others takes 93 from the oldest.
const GRANT_EVERY: u64 = 20;
const GRANT_NANO: i64 = 2_000_000_000_000;
const INPUT: u64 = 1500;
const OUTPUT: u64 = 800;
const COST_NANO: i64 = 93_000_000_000;
/// The first reader has a tenth of all entries; these share the rest.
const OTHERS: u64 = 9000;
/// Entries of an account before the first model went out of use.
const OLD_ENTRIES: u64 = 100;

/// In the order of their versions' ids; the first is of each account's first 100 entries only.
pub const MODELS: [&str; 3] = ["gpt-3.5-turbo", "gpt-4", "claude-sonnet"];

/// Whose journals it has.
fn reader(number: u64) -> String {
    format!("reader-{number}")
}

/// A journal while it is filled.
pub struct Filling {
    total: u64,
    /// When the last entry is recorded: microseconds since 1970.
    ends_at: u64,
    api_key: Id,
    namespace: u64,
    accounts: Vec<FilledAccount>,
}

struct FilledAccount {
    user: String,
    id: Id,
    entries: u64,
    balance_nano: i64,
    last_hash: ChainHash,
}

impl Filling {
    /// Of so many entries, all of one source. Prices are those of [`MODELS`], numbered from 1.
    pub fn new(total: u64, ends_at: u64, api_key: Id, namespace: u64) -> Self {
        let accounts = (0..=OTHERS).map(|number| {
            let user = reader(number);
            let id = account_id(&user);
            FilledAccount {
                id,
                user,
                entries: 0,
                balance_nano: 0,
                last_hash: genesis(&id),
            }
        });
        Self {
            total,
            ends_at,
            api_key,
            namespace,
            accounts: accounts.collect(),
        }
    }

    /// A transaction with the entries of these numbers, from 1 on, and their claims. They are taken in
    /// order.
    pub fn transaction(&mut self, numbers: std::ops::RangeInclusive<u64>) -> Result<String> {
        let columns = "account_id, entry, recorded_at, occurred_at, amount_nano, balance_after_nano, kind, \
            message, api_key_id, namespace_id, entrance, message_id, conversation_id, request_id, lines, \
            reason, actor, hash";
        let mut entries = format!("begin;\ncopy journal_entry ({columns}) from stdin;\n");
        let mut claims = String::new();
        for number in numbers {
            self.add(number, &mut entries, &mut claims)?;
        }
        entries.push_str("\\.\ncopy claim (id, message, account_id, entry) from stdin;\n");
        entries.push_str(&claims);
        entries.push_str("\\.\ncommit;\n");
        Ok(entries)
    }

    fn add(&mut self, n: u64, entries: &mut String, claims: &mut String) -> Result<()> {
        let at = self.ends_at - (self.total - n) * (YEAR_MICROS / self.total);
        let account = match n % 10 {
            0 => 0,
            rest => ((n - 1) / 10 * 9 + rest - 1) % OTHERS + 1,
        };
        let account = self.accounts.get_mut(usize::try_from(account)?);
        let account = account.context("an account that there is not")?;
        account.entries += 1;
        let number = account.entries;
        let time = moment(at)?;
        let id = hex::encode(account.id);
        if number % GRANT_EVERY == 1 {
            account.balance_nano += GRANT_NANO;
            let (reason, actor) = ("Allowance", "bench");
            account.enter(
                at,
                ChainedContent::Grant {
                    nano: GRANT_NANO,
                    reason,
                    actor,
                },
            );
            writeln!(
                entries,
                "{id}\t{number}\t{time}\t{time}\t{GRANT_NANO}\t{}\tgrant\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\
                 {reason}\t{actor}\t\\\\x{}",
                account.balance_nano,
                hex::encode(account.last_hash)
            )?;
            return Ok(());
        }
        account.balance_nano -= COST_NANO;
        let place = match number {
            ..=OLD_ENTRIES => 0,
            _ => 1 + usize::from(number % 2 == 1),
        };
        let model = *MODELS.get(place).context("a model")?;
        let price_version = u64::try_from(place)? + 1;
        let (message_id_text, conversation, request) = (
            format!("message-{n}"),
            format!("conversation-{}", n / 10),
            format!("request-{n}"),
        );
        let message = message_id(self.namespace, &message_id_text);
        account.enter(
            at,
            ChainedContent::ChainedCharge(ChainedCharge {
                message: &message,
                api_key: &self.api_key,
                namespace: self.namespace,
                entrance: "webhook",
                message_id: &message_id_text,
                conversation_id: &conversation,
                request_id: &request,
                model,
                input: INPUT,
                output: OUTPUT,
                price_version,
                cost_nano: COST_NANO,
            }),
        );
        let message = hex::encode(message);
        writeln!(
            entries,
            "{id}\t{number}\t{time}\t{time}\t-{COST_NANO}\t{}\tcharge\t{message}\t{}\t{}\twebhook\t\
             {message_id_text}\t{conversation}\t{request}\t[{{\"model\": \"{model}\", \"in\": {INPUT}, \
             \"out\": {OUTPUT}, \"version\": {price_version}, \"cost\": {COST_NANO}}}]\t\\N\t\\N\t\\\\x{}",
            account.balance_nano,
            hex::encode(self.api_key),
            self.namespace,
            hex::encode(account.last_hash)
        )?;
        writeln!(claims, "{message}\t{message}\t{id}\t{number}")?;
        Ok(())
    }

    /// The accounts, once all entries are there.
    pub fn accounts(&self) -> Result<String> {
        let opened = moment(self.ends_at - YEAR_MICROS - 86400 * 1_000_000)?;
        let mut rows =
            "copy account (account_id, user_id, balance_nano, entry_count, last_hash, created_at) \
                        from stdin;\n"
                .to_owned();
        for account in self.accounts.iter().filter(|account| account.entries > 0) {
            writeln!(
                rows,
                "{}\t{}\t{}\t{}\t\\\\x{}\t{opened}",
                hex::encode(account.id),
                account.user,
                account.balance_nano,
                account.entries,
                hex::encode(account.last_hash)
            )?;
        }
        rows.push_str("\\.\n");
        Ok(rows)
    }
}

impl FilledAccount {
    fn enter(&mut self, at: u64, content: ChainedContent<'_>) {
        let entry = ChainedEntry {
            account: &self.id,
            number: self.entries,
            at,
            balance_after_nano: self.balance_nano,
            content,
        };
        self.last_hash = entry.hash(&self.last_hash);
    }
}

/// As Postgres reads it.
fn moment(micros: u64) -> Result<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)?;
    Ok(format!(
        "{} {:02}:{:02}:{:02}.{:06}+00",
        at.date(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    ))
}
