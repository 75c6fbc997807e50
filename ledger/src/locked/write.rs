//! Writes everything that a transaction appended, in one statement: the time of a small commit is
//! mostly the time of its round trips.

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Account, Accounts};
use crate::consumption::Consumption;
use crate::credits::{Credit, CreditState};
use crate::deliveries::Trace;
use crate::error::{Error, Result, is_changed_since};
use crate::journal::{Identity, Link};
use crate::rollups;

/// Entries ($1 to $23) with their consumptions and their messages' identities, rollups ($24 to $32),
/// new credits ($33 to $38), accounts ($39 to $44), deliveries ($45 to $58), what else the identities
/// say ($59 to $62), other ids of the messages ($63 to $75), what is left of credits that were
/// there before ($76 to $78), and what must not have changed: how many entries the accounts have
/// ($79), how many accounts and credits there are ($80, $81), the prices ($82). Identities are claimed in order, so that two processes that claim the
/// same ones wait for each other and never in a circle.
macro_rules! write_sql {
    ($guard:literal, $accounts:literal, $end:literal, $aliases:literal, $new_credits:literal) => {
        concat!(
            "with ",
            $guard,
            " input as (
    select * from unnest(
        $2::uuid[], $3::bigint[], $4::timestamptz[], $5::text[], $6::bigint[], $7::text[],
        $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bytea[], $13::bytea[],
        $14::uuid[], $15::bigint[], $16::text[], $17::text[], $18::text[], $19::uuid[],
        $20::text[], $21::bigint[], $22::jsonb[], $23::bytea[], $59::integer[], $60::text[],
        $61::boolean[], $62::text[]
    ) as t (account_id, entry, occurred_at, kind, amount_nano, counter_account,
        balance_after_nano, corrects_entry, reason, actor, previous_hash, hash,
        consumption_id, namespace_id, message_id, conversation_id, request_id, api_key_id,
        entrance, total_tokens, lines, fingerprint, part, evidence, is_itemized, replaces)
), claimed as (
    insert into message (namespace_id, message_id, part, fingerprint, consumption_id, total_tokens,
        charge_nano, balance_after_nano, recorded_at, alias_of, account_id, entry, entrance, evidence,
        is_itemized, replaces)
    select namespace_id, message_id, part, fingerprint, consumption_id, total_tokens,
        -amount_nano, balance_after_nano, $1, null, account_id, entry, entrance, evidence,
        is_itemized, replaces::integer[]
    from input where consumption_id is not null ",
            $aliases,
            " order by namespace_id, message_id
), used as (
    insert into consumption (account_id, entry, recorded_at, consumption_id, namespace_id,
        message_id, part, conversation_id, request_id, api_key_id, entrance, occurred_at,
        total_tokens, charge_nano, lines)
    select account_id, entry, $1, consumption_id, namespace_id, message_id, part, conversation_id,
        request_id, api_key_id, entrance, occurred_at, total_tokens, -amount_nano, lines
    from input where consumption_id is not null
), entered as (
    insert into journal_entry (account_id, entry, recorded_at, occurred_at, kind, amount_nano,
        counter_account, balance_after_nano, consumption_id, corrects_entry, reason, actor,
        previous_hash, hash)
    select account_id, entry, $1, occurred_at, kind, amount_nano, counter_account,
        balance_after_nano, consumption_id, corrects_entry, reason, actor, previous_hash, hash
    from input
), summed as (
    insert into rollup as r (account_id, hour, kind, model_key, api_key_id, entries, input_tokens,
        output_tokens, amount_nano)
    select t.account_id, $24, t.kind, t.model_key, t.api_key_id, t.entries, t.input_tokens,
        t.output_tokens, t.amount_nano
    from unnest($25::uuid[], $26::text[], $27::text[], $28::uuid[], $29::bigint[], $30::bigint[],
        $31::bigint[], $32::bigint[]) as t (account_id, kind, model_key, api_key_id, entries,
        input_tokens, output_tokens, amount_nano)
    on conflict (account_id, hour, kind, model_key, api_key_id) do update set
        entries = r.entries + excluded.entries,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        amount_nano = r.amount_nano + excluded.amount_nano
), ",
            $new_credits,
            " burned as (
    update credit c set remaining_nano = t.remaining_nano
    from unnest($76::uuid[], $77::bigint[], $78::bigint[]) as t (account_id, entry, remaining_nano)
    where c.account_id = t.account_id and c.entry = t.entry
    returning 1
), updated as (
    update account a set balance_nano = t.balance_nano, entry_count = t.entry_count,
        last_hash = t.last_hash, updated_at = $1 ",
            $accounts,
            "
    where a.account_id = t.account_id and a.entry_count = t.entry_count_read
    returning 1
), delivered as (
    insert into delivery (received_at, api_key_id, entrance, outcome, reason, message_id, user_id,
        model_name, input_tokens, output_tokens, charge_nano, balance_after_nano, consumption_id,
        body)
    select * from unnest($45::timestamptz[], $46::uuid[], $47::text[], $48::text[], $49::text[],
        $50::text[], $51::text[], $52::text[], $53::bigint[], $54::bigint[], $55::bigint[],
        $56::bigint[], $57::uuid[], $58::bytea[])
)
select expect_rows((select count(*) from updated), $80), expect_rows((select count(*) from burned), $81)",
            $end
        )
    };
}

/// For what nearly every group is: charges of messages with one id each, and nothing else. What a
/// statement might have to do costs time also when it does not.
macro_rules! plain_sql {
    ($guard:literal, $accounts:literal, $end:literal) => {
        write_sql!($guard, $accounts, $end, "", "")
    };
}

macro_rules! full_sql {
    ($guard:literal, $accounts:literal, $end:literal) => {
        write_sql!(
            $guard,
            $accounts,
            $end,
            "union all
    select namespace_id, alias, 0, fingerprint, consumption_id, total_tokens, charge_nano,
        balance_after_nano, $1, message_id, account_id, entry, entrance, evidence, is_itemized, '{}'
    from unnest($63::bigint[], $64::text[], $65::bytea[], $66::uuid[], $67::bigint[], $68::bigint[],
        $69::bigint[], $70::text[], $71::uuid[], $72::bigint[], $73::text[], $74::text[],
        $75::boolean[]) as t (namespace_id, alias, fingerprint, consumption_id, total_tokens,
        charge_nano, balance_after_nano, message_id, account_id, entry, entrance, evidence,
        is_itemized)",
            "credited as (
    insert into credit (account_id, entry, amount_nano, remaining_nano, is_bought, expires_at)
    select * from unnest($33::uuid[], $34::bigint[], $35::bigint[], $36::bigint[], $37::boolean[],
        $38::timestamptz[])
),"
        )
    };
}

/// Of accounts that are locked: all that is known of them.
macro_rules! locked {
    ($sql:ident) => {
        $sql!(
            "",
            ", held_nano = t.held_nano, debt_limit_nano = t.debt_limit_nano
    from unnest($39::uuid[], $40::bigint[], $41::bigint[], $42::bigint[], $43::bigint[],
            $44::bytea[], $79::bigint[])
        as t (account_id, balance_nano, held_nano, debt_limit_nano, entry_count, last_hash,
            entry_count_read)",
            ""
        )
    };
}

/// Of accounts that are not: what others may change without an entry stays as it is. The price lock
/// comes before theirs, and whether a message waits is seen once they are locked.
macro_rules! at_once {
    ($sql:ident) => {
        $sql!(
            "priced as materialized (select expect_price_revision($82)),",
            "
    from priced, unnest($39::uuid[], $40::bigint[], $43::bigint[], $44::bytea[], $79::bigint[])
        as t (account_id, balance_nano, entry_count, last_hash, entry_count_read)",
            ", expect_none_waiting($15 || $63, $16 || $64)"
        )
    };
}

const LOCKED: [&str; 2] = [locked!(plain_sql), locked!(full_sql)];
const AT_ONCE: [&str; 2] = [at_once!(plain_sql), at_once!(full_sql)];

/// A further id that an entry claims for its message.
struct Alias<'a> {
    name: &'a str,
    fingerprint: &'a [u8],
    link: &'a Link,
    used: &'a Consumption,
    identity: &'a Identity,
}

fn aliases(links: &[Link]) -> Vec<Alias<'_>> {
    let mut aliases = Vec::new();
    for link in links {
        if let (Some(used), Some(identity)) = (&link.entry.consumption, &link.identity) {
            let names = identity.aliases.iter();
            aliases.extend(names.map(|(name, fingerprint)| Alias {
                name,
                fingerprint,
                link,
                used,
                identity,
            }));
        }
    }
    aliases
}

/// The credits of some accounts of which this is to be written, with their accounts.
fn credits_in<'a>(accounts: &[&'a Account], state: CreditState) -> Vec<(Uuid, &'a Credit)> {
    let credits = accounts.iter().flat_map(|account| {
        let credits = account.credits.iter();
        credits.map(|credit| (account.account_id, credit))
    });
    credits
        .filter(|(_, credit)| credit.state == state)
        .collect()
}

pub(super) async fn write(
    accounts: &Accounts,
    traces: &[Trace<'_>],
    tx: &mut PgConnection,
) -> Result<()> {
    run(LOCKED, accounts, traces, None, tx).await
}

/// The transaction of a group of messages, in one statement: `false` when it found something changed.
pub(super) async fn write_at_once(
    accounts: &Accounts,
    traces: &[Trace<'_>],
    price_revision: i64,
    connection: &mut PgConnection,
) -> Result<bool> {
    match run(AT_ONCE, accounts, traces, Some(price_revision), connection).await {
        Err(Error::Database(error)) if is_changed_since(&error) => Ok(false),
        written => written.map(|()| true),
    }
}

async fn run(
    [plain, full]: [&'static str; 2],
    accounts: &Accounts,
    traces: &[Trace<'_>],
    price_revision: Option<i64>,
    connection: &mut PgConnection,
) -> Result<()> {
    let links = &accounts.links;
    let sums = rollups::sum(links);
    let mut changed: Vec<&Account> = accounts
        .accounts
        .values()
        .filter(|account| account.is_changed)
        .collect();
    // Where they are not locked yet, they are in this order.
    changed.sort_unstable_by_key(|account| account.account_id);
    let new_credits = credits_in(&changed, CreditState::New);
    let burned = credits_in(&changed, CreditState::Changed);
    if changed.is_empty() && traces.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($rows:expr, $field:expr) => {
            $rows.iter().map($field).collect::<Vec<_>>()
        };
    }
    macro_rules! used {
        ($field:expr) => {
            links
                .iter()
                .map(|link| link.entry.consumption.as_ref().map($field))
                .collect::<Vec<_>>()
        };
    }
    macro_rules! identity {
        ($field:expr) => {
            links
                .iter()
                .map(|link| link.identity.as_ref().map($field))
                .collect::<Vec<_>>()
        };
    }
    let aliases = aliases(links);
    let is_plain = aliases.is_empty() && new_credits.is_empty();
    let query = sqlx::query(if is_plain { plain } else { full })
        .bind(accounts.now)
        .bind(column!(links, |link| link.entry.account_id))
        .bind(column!(links, |link| link.entry.entry))
        .bind(column!(links, |link| link.entry.occurred_at))
        .bind(column!(links, |link| link.entry.kind.as_str()))
        .bind(column!(links, |link| link.entry.amount_nano))
        .bind(column!(links, |link| link.entry.counter_account))
        .bind(column!(links, |link| link.entry.balance_after_nano))
        .bind(column!(links, |link| link.entry.corrects_entry))
        .bind(column!(links, |link| link.entry.reason.as_deref()))
        .bind(column!(links, |link| link.entry.actor.as_deref()))
        .bind(column!(links, |link| link.previous_hash.as_slice()))
        .bind(column!(links, |link| link.hash.as_slice()))
        .bind(used!(|used| used.consumption_id))
        .bind(used!(|used| used.namespace_id))
        .bind(used!(|used| used.message_id.as_str()))
        .bind(column!(links, |link| {
            let used = link.entry.consumption.as_ref()?;
            used.conversation_id.as_deref()
        }))
        .bind(column!(links, |link| {
            let used = link.entry.consumption.as_ref()?;
            used.request_id.as_deref()
        }))
        .bind(used!(|used| used.api_key_id))
        .bind(used!(|used| used.entrance.as_str()))
        .bind(used!(|used| used.total_tokens))
        .bind(used!(|used| Json(&used.lines)))
        .bind(identity!(|identity| identity.fingerprint.as_slice()))
        .bind(rollups::hour_of(accounts.now))
        .bind(column!(sums, |(key, _)| key.account_id))
        .bind(column!(sums, |(key, _)| key.kind))
        .bind(column!(sums, |(key, _)| key.model_key))
        .bind(column!(sums, |(key, _)| key.api_key_id))
        .bind(column!(sums, |(_, sum)| sum.entries))
        .bind(column!(sums, |(_, sum)| sum.input_tokens))
        .bind(column!(sums, |(_, sum)| sum.output_tokens))
        .bind(column!(sums, |(_, sum)| sum.amount_nano))
        .bind(column!(new_credits, |(account_id, _)| *account_id))
        .bind(column!(new_credits, |(_, credit)| credit.entry))
        .bind(column!(new_credits, |(_, credit)| credit.amount_nano))
        .bind(column!(new_credits, |(_, credit)| credit.remaining_nano))
        .bind(column!(new_credits, |(_, credit)| credit.is_bought))
        .bind(column!(new_credits, |(_, credit)| credit.expires_at))
        .bind(column!(changed, |account| account.account_id))
        .bind(column!(changed, |account| account.balance_nano))
        .bind(column!(changed, |account| account.held_nano))
        .bind(column!(changed, |account| account.debt_limit_nano))
        .bind(column!(changed, |account| account.entry_count))
        .bind(column!(changed, |account| account.last_hash.as_slice()))
        .bind(column!(traces, |trace| trace.received_at))
        .bind(column!(traces, |trace| trace.api_key_id))
        .bind(column!(traces, |trace| trace.entrance))
        .bind(column!(traces, |trace| trace.outcome.as_str()))
        .bind(column!(traces, |trace| trace.reason))
        .bind(column!(traces, Trace::message_id))
        .bind(column!(traces, Trace::user_id))
        .bind(column!(traces, Trace::model_names))
        .bind(column!(traces, Trace::input_tokens))
        .bind(column!(traces, Trace::output_tokens))
        .bind(column!(traces, |trace| trace.charge_nano))
        .bind(column!(traces, |trace| trace.balance_after_nano))
        .bind(column!(traces, |trace| trace.consumption_id))
        .bind(column!(traces, |trace| trace.body))
        .bind(used!(|used| used.part))
        .bind(identity!(|identity| identity.evidence.as_str()))
        .bind(identity!(|identity| identity.is_itemized))
        .bind(identity!(|identity| list(&identity.replaces)))
        .bind(column!(aliases, |alias| alias.used.namespace_id))
        .bind(column!(aliases, |alias| alias.name))
        .bind(column!(aliases, |alias| alias.fingerprint))
        .bind(column!(aliases, |alias| alias.used.consumption_id))
        .bind(column!(aliases, |alias| alias.used.total_tokens))
        .bind(column!(aliases, |alias| alias.used.charge_nano))
        .bind(column!(aliases, |alias| alias
            .link
            .entry
            .balance_after_nano))
        .bind(column!(aliases, |alias| alias.used.message_id.as_str()))
        .bind(column!(aliases, |alias| alias.link.entry.account_id))
        .bind(column!(aliases, |alias| alias.link.entry.entry))
        .bind(column!(aliases, |alias| alias.used.entrance.as_str()))
        .bind(column!(aliases, |alias| alias.identity.evidence.as_str()))
        .bind(column!(aliases, |alias| alias.identity.is_itemized))
        .bind(column!(burned, |(account_id, _)| *account_id))
        .bind(column!(burned, |(_, credit)| credit.entry))
        .bind(column!(burned, |(_, credit)| credit.remaining_nano))
        .bind(column!(changed, |account| account.entry_count_read))
        .bind(i64::try_from(changed.len()).unwrap_or(i64::MAX))
        .bind(i64::try_from(burned.len()).unwrap_or(i64::MAX));
    let query = match price_revision {
        Some(revision) => query.bind(revision),
        None => query,
    };
    // To the end of the answer, which comes after the commit.
    query.fetch_all(connection).await?;
    Ok(())
}

/// Postgres has no lists of lists of different lengths: each one goes as text.
fn list(numbers: &[i32]) -> String {
    let numbers: Vec<_> = numbers.iter().map(i32::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}
