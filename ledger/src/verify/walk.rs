//! The walk along the chains: every entry against the one before it, every account against its last.

use std::collections::HashMap;

use futures::TryStreamExt;
use shared::api::EntryKind;
use shared::ids::UserId;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::sums::Sums;
use super::{Finding, Pricing, VerifyReport};
use crate::chain::{self, Entry, Hash};
use crate::consumption::{Consumption, Line, fingerprint};
use crate::credits::{Credit, CreditState, Credits};
use crate::error::{Error, Result};
use crate::journal::CreditTerms;
use crate::{history, journal};

/// What an account claims of itself; the parts that are added up only where `$when` holds.
macro_rules! of_account {
    ($when:literal) => {
        concat!(
            "a.user_id, a.balance_nano as account_balance_nano,
             a.entry_count as account_entry_count, a.last_hash as account_last_hash,
             a.held_nano as account_held_nano,
             case when ", $when, " then (
                 select coalesce(sum(amount_nano), 0)::bigint from hold
                 where hold.account_id = a.account_id and status = 'open') end as holds_nano,
             case when ", $when, " then (
                 select jsonb_agg(jsonb_build_array((extract(epoch from hour) * 1000000)::bigint, kind, model_key,
                     api_key_id, entries, input_tokens::text, output_tokens::text, amount_nano::text))
                 from rollup where rollup.account_id = a.account_id) end as rollups "
        )
    };
}

/// An account while its entries go by.
struct Walk {
    account_id: Uuid,
    user_id: Option<String>,
    balance_nano: i64,
    entries: i64,
    last_hash: Hash,
    /// What is left of its points, as the entries say.
    credits: Credits,
    /// What the rows of these credits say is left of them now.
    credit_rows: HashMap<i64, i64>,
    sums: Sums,
    is_broken: bool,
}

impl Walk {
    fn begin(account_id: Uuid, row: &PgRow) -> Result<Self> {
        Ok(Self {
            account_id,
            user_id: row.try_get("user_id")?,
            balance_nano: 0,
            entries: 0,
            last_hash: chain::genesis(account_id),
            credits: Credits::default(),
            credit_rows: HashMap::new(),
            sums: Sums::default(),
            is_broken: false,
        })
    }

    /// After its first fault an account is only counted: everything behind a broken link would be
    /// reported for the same cause.
    fn find(&mut self, entry: Option<i64>, what: String, report: &mut VerifyReport) {
        self.is_broken = true;
        report.find(Finding {
            account_id: Some(self.account_id),
            user_id: self.user_id.clone(),
            entry,
            what,
        });
    }
}

/// Walks along all entries, or one account's; returns how many messages were met on the way.
pub(super) async fn entries(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    pricing: &Pricing,
    report: &mut VerifyReport,
) -> Result<u64> {
    let mut rows = sqlx::query(concat!(
        "select ",
        of_account!("j.entry = a.entry_count"),
        ", j.account_id, j.entry, j.recorded_at, j.occurred_at, j.kind, j.amount_nano,
             j.counter_account, j.balance_after_nano, j.consumption_id as entry_consumption_id,
             j.corrects_entry, j.reason, j.actor, j.previous_hash, j.hash,
             c.consumption_id, c.namespace_id, c.message_id, c.part, c.conversation_id, c.request_id,
             c.api_key_id, c.entrance, c.occurred_at as used_at, c.total_tokens, c.charge_nano,
             c.lines, m.consumption_id as message_consumption_id, m.fingerprint,
             m.total_tokens as message_tokens, m.charge_nano as message_charge_nano,
             m.balance_after_nano as message_balance_nano, m.recorded_at as message_recorded_at,
             m.account_id as message_account_id, m.entry as message_entry,
             m.entrance as message_entrance, m.is_itemized as message_is_itemized,
             e.is_owed, e.is_given_back,
             case when c.part > 0 then exists (select from sighting s
                 where s.namespace_id = c.namespace_id and s.message_id = c.message_id
                     and s.consumption_id = c.consumption_id and s.entrance = m.entrance
                     and s.evidence = m.evidence) end as is_seen,
             case when c.lines @? '$[*].callId' then (
                 select l.line ->> 'callId' from jsonb_array_elements(c.lines) as l (line)
                 where l.line ? 'callId' and not exists (select from message n
                     where n.namespace_id = c.namespace_id and n.message_id = l.line ->> 'callId'
                         and n.part = 0)
                 limit 1) end as unclaimed_call,
             k.amount_nano as credit_amount_nano, k.remaining_nano, k.is_bought, k.expires_at
         from journal_entry j
         left join account a on a.account_id = j.account_id
         left join consumption c on c.account_id = j.account_id and c.entry = j.entry
             and c.recorded_at = j.recorded_at
         left join credit k on k.account_id = j.account_id and k.entry = j.entry
         left join message m on m.namespace_id = c.namespace_id and m.message_id = c.message_id
             and m.part = c.part and m.alias_of is null
         left join lateral (
             select not m.replaces <@ coalesce(array_agg(p.part) filter (
                        where p.charge_nano <= coalesce(r.amount_nano, 0)), '{}') as is_owed,
                    bool_or(r.is_now and not p.part = any(m.replaces)) as is_given_back
             from message p cross join lateral (
                 select sum(amount_nano) as amount_nano,
                        bool_or(kind = 'refund' and recorded_at = c.recorded_at) as is_now
                 from journal_entry
                 where account_id = p.account_id and corrects_entry = p.entry and entry < c.entry
             ) r
             where c.part > 0 and p.namespace_id = c.namespace_id and p.message_id = c.message_id
                 and p.part < c.part and not exists (
                     select from message l where l.namespace_id = c.namespace_id
                         and l.message_id = c.message_id and l.part < c.part
                         and p.part = any(l.replaces))
         ) e on true
         where $1::uuid is null or j.account_id = $1
         order by j.account_id, j.entry"
    ))
    .bind(only)
    .fetch(tx);
    let mut messages = 0;
    let mut current: Option<(Walk, PgRow)> = None;
    while let Some(row) = rows.try_next().await? {
        let account_id: Uuid = row.try_get("account_id")?;
        let mut walk = match current.take() {
            Some((walk, _)) if walk.account_id == account_id => walk,
            done => {
                if let Some((walk, last)) = done {
                    close(walk, &last, report)?;
                }
                Walk::begin(account_id, &row)?
            }
        };
        report.entries += 1;
        if let Some(used) = row.try_get::<Option<Uuid>, _>("consumption_id")? {
            report.consumptions += 1;
            messages += u64::from(row.try_get("message_consumption_id").ok() == Some(used));
        }
        if !walk.is_broken {
            let number = row.try_get("entry")?;
            match step(&mut walk, &row, number, pricing)? {
                None => walk.entries = number,
                Some(fault) => walk.find(Some(number), fault, report),
            }
        }
        current = Some((walk, row));
    }
    if let Some((walk, last)) = current {
        close(walk, &last, report)?;
    }
    Ok(messages)
}

/// Accounts that the walk along the entries does not come by.
pub(super) async fn accounts_without_entries(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    report: &mut VerifyReport,
) -> Result<()> {
    let mut rows = sqlx::query(concat!(
        "select a.account_id, ",
        of_account!("true"),
        "from account a where ($1::uuid is null or a.account_id = $1)
             and not exists (select from journal_entry j where j.account_id = a.account_id)"
    ))
    .bind(only)
    .fetch(tx);
    while let Some(row) = rows.try_next().await? {
        close(Walk::begin(row.try_get("account_id")?, &row)?, &row, report)?;
    }
    Ok(())
}

/// Checks one entry against the chain so far, and takes the account to where it says.
fn step(walk: &mut Walk, row: &PgRow, number: i64, pricing: &Pricing) -> Result<Option<String>> {
    if number != walk.entries + 1 {
        return Ok(Some(format!(
            "entry {} is missing before entry {number}",
            walk.entries + 1
        )));
    }
    let previous_hash = journal::hash_from(row.try_get("previous_hash")?)?;
    let stored_hash = journal::hash_from(row.try_get("hash")?)?;
    if previous_hash != walk.last_hash {
        return Ok(Some("does not continue the entry before it".into()));
    }
    let entry = match entry(walk.account_id, row) {
        Ok(entry) => entry,
        Err(error) => return Ok(Some(format!("cannot be read: {error}"))),
    };
    if entry.hash(&previous_hash) != stored_hash {
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
    if let Some(consumption) = &entry.consumption {
        if consumption.charge_nano.checked_neg() != Some(entry.amount_nano) {
            return Ok(Some(
                "takes another amount than its consumption's charge".into(),
            ));
        }
        let fault = match message_fault(walk, row, &entry, consumption)? {
            Some(fault) => Some(fault),
            None => reports_fault(row, consumption)?.or_else(|| pricing.fault_of(consumption)),
        };
        if fault.is_some() {
            return Ok(fault);
        }
    }
    if let Some(fault) = credit_fault(walk, row, &entry)? {
        return Ok(Some(fault));
    }
    walk.sums.add(&entry);
    walk.balance_nano = entry.balance_after_nano;
    walk.last_hash = stored_hash;
    Ok(None)
}

/// A message's identity answers those who deliver it again, so it must say what was charged.
fn message_fault(
    walk: &Walk,
    row: &PgRow,
    entry: &Entry,
    consumption: &Consumption,
) -> Result<Option<String>> {
    let named: Option<Uuid> = row.try_get("message_consumption_id")?;
    if named != Some(consumption.consumption_id) {
        return Ok(Some(
            "its message's identity is missing or names another consumption".into(),
        ));
    }
    let user_id = walk.user_id.as_deref().unwrap_or_default();
    let lines = consumption.lines.iter();
    let reported = fingerprint(user_id, lines.map(|line| (&line.model_key, &line.tokens)));
    let is_same = row.try_get::<Vec<u8>, _>("fingerprint")?.as_slice() == reported.as_slice()
        && row.try_get::<i64, _>("message_tokens")? == consumption.total_tokens
        && row.try_get::<i64, _>("message_charge_nano")? == consumption.charge_nano
        && row.try_get::<i64, _>("message_balance_nano")? == entry.balance_after_nano
        && row.try_get::<OffsetDateTime, _>("message_recorded_at")? == entry.recorded_at
        && row.try_get::<Option<Uuid>, _>("message_account_id")? == Some(entry.account_id)
        && row.try_get::<Option<i64>, _>("message_entry")? == Some(entry.entry)
        && row.try_get::<&str, _>("message_entrance")? == consumption.entrance
        && row.try_get::<bool, _>("message_is_itemized")? == consumption.is_itemized();
    // Without an account there is no user to compare; that is found at its end.
    let what = "its message's identity says something else than its consumption";
    Ok((!is_same && walk.user_id.is_some()).then(|| what.to_owned()))
}

/// What several reports of one message made of it. How good the first one was (`evidence`) only its
/// identity tells.
fn reports_fault(row: &PgRow, consumption: &Consumption) -> Result<Option<String>> {
    let is = |column| -> Result<bool> {
        Ok(row.try_get::<Option<bool>, _>(column)?.unwrap_or_default())
    };
    // Where nothing was left to be given back, only its identity tells a replacement from a further
    // part.
    if is("is_owed")? {
        let what = "it takes the place of earlier charges that were not given back";
        return Ok(Some(what.into()));
    }
    if is("is_given_back")? {
        let what = "earlier charges were given back for it, but it does not take their place";
        return Ok(Some(what.into()));
    }
    if consumption.part > 0 && !is("is_seen")? {
        return Ok(Some("the report that brought it is not on record".into()));
    }
    let unclaimed: Option<&str> = row.try_get("unclaimed_call")?;
    Ok(unclaimed.map(|call| format!("its call {call} could be charged again: its id is missing")))
}

/// Brings points in or burns them, and compares what is used up with its row.
fn credit_fault(walk: &mut Walk, row: &PgRow, entry: &Entry) -> Result<Option<String>> {
    let amount_nano: Option<i64> = row.try_get("credit_amount_nano")?;
    if amount_nano != Some(entry.amount_nano).filter(|amount| *amount > 0) {
        return Ok(Some(
            "its credit is missing or is not what it brought".into(),
        ));
    }
    if entry.kind != EntryKind::Expiry && walk.credits.next_expired(entry.recorded_at).is_some() {
        return Ok(Some("points were there that had run out before it".into()));
    }
    if amount_nano.is_some() {
        // Points that come in pay a debt first.
        let debt_nano = walk.balance_nano.min(0).saturating_neg();
        walk.credit_rows
            .insert(entry.entry, row.try_get("remaining_nano")?);
        walk.credits.insert(Credit {
            entry: entry.entry,
            amount_nano: entry.amount_nano,
            remaining_nano: entry.amount_nano.saturating_sub(debt_nano).max(0),
            is_bought: entry.terms.is_bought,
            expires_at: entry.terms.expires_at,
            state: CreditState::Stored,
        });
    } else {
        let taken_nano = entry.amount_nano.saturating_neg();
        match (entry.kind, entry.corrects_entry) {
            (EntryKind::Expiry, Some(credit)) => walk.credits.burn_entry(credit, taken_nano),
            _ => walk.credits.burn(taken_nano),
        }
    }
    for credit in walk.credits.remove_used_up() {
        if walk.credit_rows.remove(&credit.entry) != Some(0) {
            return Ok(Some(format!(
                "used up the credit of entry {}, whose row has something left",
                credit.entry
            )));
        }
    }
    Ok(None)
}

/// The account must say what its entries say.
fn close(mut walk: Walk, row: &PgRow, report: &mut VerifyReport) -> Result<()> {
    report.accounts += 1;
    if walk.is_broken {
        return Ok(());
    }
    if let Some((entry, what)) = account_fault(&walk, row)? {
        walk.find(entry, what, report);
    }
    Ok(())
}

fn account_fault(walk: &Walk, row: &PgRow) -> Result<Option<(Option<i64>, String)>> {
    let at_account = |what: &str| Ok(Some((None, what.to_owned())));
    let Some(user_id) = walk.user_id.as_deref() else {
        return at_account("entries without an account");
    };
    let user_id: std::result::Result<UserId, _> = user_id.parse();
    if user_id.map(|user| chain::account_id(&user)) != Ok(walk.account_id) {
        return at_account("the account belongs to another user");
    }
    let count: i64 = row.try_get("account_entry_count")?;
    if count != walk.entries {
        return at_account(&format!(
            "the account counts {count} entries, the journal has {}: the last ones are missing",
            walk.entries
        ));
    }
    if row.try_get::<i64, _>("account_balance_nano")? != walk.balance_nano {
        return at_account("the account's balance is not the sum of its entries");
    }
    if row.try_get::<Vec<u8>, _>("account_last_hash")?.as_slice() != walk.last_hash.as_slice() {
        return at_account("the account's last hash is not its last entry's");
    }
    if let Some(credit) = walk
        .credits
        .iter()
        .find(|credit| walk.credit_rows.get(&credit.entry) != Some(&credit.remaining_nano))
    {
        let what = "what is left of its credit is not what later entries left of it";
        return Ok(Some((Some(credit.entry), what.to_owned())));
    }
    if row.try_get::<Option<i64>, _>("holds_nano")? != row.try_get("account_held_nano")? {
        return at_account("what it holds is not the sum of its open holds");
    }
    Ok(walk.sums.fault(row)?.map(|what| (None, what)))
}

fn entry(account_id: Uuid, row: &PgRow) -> Result<Entry> {
    let kind = history::entry_kind(row.try_get("kind")?)?;
    let counter_account = journal::counter_account(kind);
    if row.try_get::<&str, _>("counter_account")? != counter_account {
        return Err(Error::corrupt("the counter account does not fit the kind"));
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
        terms: CreditTerms {
            is_bought: row
                .try_get::<Option<bool>, _>("is_bought")?
                .unwrap_or_default(),
            expires_at: row.try_get("expires_at")?,
        },
    })
}

fn consumption(row: &PgRow, consumption_id: Uuid) -> Result<Consumption> {
    let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
    Ok(Consumption {
        consumption_id,
        namespace_id: row.try_get("namespace_id")?,
        message_id: row.try_get("message_id")?,
        part: row.try_get("part")?,
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
