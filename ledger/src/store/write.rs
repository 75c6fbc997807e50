//! The one write of the books: everything that a transaction appended and changed, in one statement,
//! because the time of a small commit is mostly the time of its round trips.
//!
//! Accounts and claims come in the order of their ids, so that two writers that meet wait for each
//! other and never in a circle.

use std::fmt::Write as _;
use std::sync::OnceLock;

use sqlx::{AssertSqlSafe, PgConnection};
use time::OffsetDateTime;

use super::rows::{
    AccountChange, AccountLimits, CreditChange, HoldSettlement, NewClaim, NewCredit, NewDelivery,
    NewEntry, NewMessageEvent,
};
use crate::error::{Result, is_changed_since};

/// What is written together.
#[derive(Default)]
pub(crate) struct Rows<'a> {
    pub accounts: Vec<AccountChange<'a>>,
    /// Of the same accounts, where they are locked.
    pub limits: Vec<AccountLimits>,
    pub entries: Vec<NewEntry<'a>>,
    pub claims: Vec<NewClaim>,
    pub events: Vec<NewMessageEvent>,
    pub new_credits: Vec<NewCredit>,
    pub credits: Vec<CreditChange>,
    /// Of holds that are open; their points come free.
    pub holds: Vec<HoldSettlement>,
    pub deliveries: Vec<NewDelivery<'a>>,
}

impl Rows<'_> {
    fn is_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.claims.is_empty()
            && self.events.is_empty()
            && self.deliveries.is_empty()
    }
}

/// Which parts the statement has: what it might have to do costs time also when it does not.
#[derive(Clone, Copy, Default)]
struct Parts {
    has_price_guard: bool,
    has_limits: bool,
    has_accounts: bool,
    has_entries: bool,
    has_claims: bool,
    has_events: bool,
    has_new_credits: bool,
    has_credits: bool,
    has_holds: bool,
    has_deliveries: bool,
}

/// Writes in a transaction whose accounts are locked.
pub(crate) async fn write(
    tx: &mut PgConnection,
    now: OffsetDateTime,
    rows: &Rows<'_>,
) -> Result<()> {
    run(tx, now, rows, None).await
}

/// Writes in a transaction of its own, of accounts that were not locked: `false`, and nothing is
/// written, when one of them has an entry more than was known, or a price was published.
pub(crate) async fn write_at_once(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    rows: &Rows<'_>,
    price_revision: i64,
) -> Result<bool> {
    match run(connection, now, rows, Some(price_revision)).await {
        Err(crate::Error::Database(error)) if is_changed_since(&error) => Ok(false),
        written => written.map(|()| true),
    }
}

async fn run(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    rows: &Rows<'_>,
    price_revision: Option<i64>,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let parts = Parts {
        has_price_guard: price_revision.is_some(),
        has_limits: !rows.limits.is_empty(),
        has_accounts: !rows.accounts.is_empty(),
        has_entries: !rows.entries.is_empty(),
        has_claims: !rows.claims.is_empty(),
        has_events: !rows.events.is_empty(),
        has_new_credits: !rows.new_credits.is_empty(),
        has_credits: !rows.credits.is_empty(),
        has_holds: !rows.holds.is_empty(),
        has_deliveries: !rows.deliveries.is_empty(),
    };
    let mut query = sqlx::query(AssertSqlSafe(statement(parts))).bind(now);
    if let Some(revision) = price_revision {
        query = query.bind(revision);
    }
    if parts.has_accounts {
        query = query.bind(&rows.accounts);
    }
    if parts.has_limits {
        query = query.bind(&rows.limits);
    }
    if parts.has_holds {
        query = query.bind(&rows.holds);
    }
    if parts.has_claims {
        query = query.bind(&rows.claims);
    }
    if parts.has_entries {
        query = query.bind(&rows.entries);
    }
    if parts.has_events {
        query = query.bind(&rows.events);
    }
    if parts.has_new_credits {
        query = query.bind(&rows.new_credits);
    }
    if parts.has_credits {
        query = query.bind(&rows.credits);
    }
    if parts.has_deliveries {
        query = query.bind(&rows.deliveries);
    }
    // To the end of the answer, which comes after the commit.
    query.fetch_all(connection).await?;
    Ok(())
}

const PARTS: usize = 10;

impl Parts {
    /// Which of all combinations it is.
    fn number(self) -> usize {
        let parts: [bool; PARTS] = [
            self.has_price_guard,
            self.has_limits,
            self.has_accounts,
            self.has_entries,
            self.has_claims,
            self.has_events,
            self.has_new_credits,
            self.has_credits,
            self.has_holds,
            self.has_deliveries,
        ];
        parts
            .into_iter()
            .fold(0, |number, part| number * 2 + usize::from(part))
    }
}

/// The statement with these parts, made once.
fn statement(parts: Parts) -> &'static str {
    static STATEMENTS: [OnceLock<String>; 1 << PARTS] = [const { OnceLock::new() }; 1 << PARTS];
    match STATEMENTS.get(parts.number()) {
        Some(made) => made.get_or_init(|| Builder::default().build(parts)),
        None => "",
    }
}

#[derive(Default)]
struct Builder {
    sql: String,
    /// The last parameter.
    parameters: u32,
    /// What must be so at the end, or nothing is written.
    expected: Vec<String>,
}

impl Builder {
    fn build(mut self, parts: Parts) -> String {
        self.parameters = 1;
        if parts.has_price_guard {
            self.add("priced", |at| {
                format!("materialized (select expect_price_revision({at}))")
            });
        }
        if parts.has_accounts {
            self.add_accounts(parts);
        }
        if parts.has_claims {
            self.add("claimed", |at| {
                format!(
                    "(insert into claim (id, message, account_id, entry)
                      select * from unnest({at}::new_claim[]))"
                )
            });
        }
        if parts.has_entries {
            self.add("entered", |at| {
                format!("(insert into journal_entry (recorded_at, {NEW_ENTRY}) select $1, {NEW_ENTRY} from unnest({at}::new_entry[]))")
            });
        }
        if parts.has_events {
            self.add("happened", |at| {
                format!("(insert into message_event (recorded_at, {NEW_EVENT}) select $1, {NEW_EVENT} from unnest({at}::new_message_event[]))")
            });
        }
        if parts.has_new_credits {
            self.add("credited", |at| {
                format!("(insert into credit (account_id, entry, amount_nano, remaining_nano, is_bought, expires_at)
                    select * from unnest({at}::new_credit[]))")
            });
        }
        if parts.has_credits {
            let at = self.add("burned", |at| {
                format!(
                    "(update credit c set remaining_nano = t.remaining_nano
                      from unnest({at}::credit_change[]) as t
                      where c.account_id = t.account_id and c.entry = t.entry returning 1)"
                )
            });
            self.expect_all_of("burned", at);
        }
        if parts.has_deliveries {
            self.add("delivered", |at| {
                format!("(insert into delivery (recorded_at, {NEW_DELIVERY}) select $1, {NEW_DELIVERY} from unnest({at}::new_delivery[]))")
            });
        }
        let expected = if self.expected.is_empty() {
            "1".to_owned()
        } else {
            self.expected.join(", ")
        };
        format!("with {} select {expected}", self.sql)
    }

    /// The accounts, each only if it has as many entries as were known, with what holds free. The
    /// price lock comes before theirs.
    fn add_accounts(&mut self, parts: Parts) {
        let changes = self.next();
        let limits = parts.has_limits.then(|| self.next());
        if parts.has_holds {
            let at = self.add("settled", |at| {
                format!(
                    "(update hold h set status = 'settled', closed_at = $1, message = t.message
                      from unnest({at}::hold_settlement[]) as t
                      where h.account_id = t.account_id and h.hold_id = t.hold_id and h.status = 'open'
                      returning h.account_id, h.amount_nano),
                 freed as (select account_id, sum(amount_nano)::bigint as nano from settled group by account_id)"
                )
            });
            self.expect_all_of("settled", at);
        }
        let mut sql =
            "(update account a set balance_nano = t.balance_nano, entry_count = t.entry_count,
            last_hash = t.last_hash, updated_at = $1"
                .to_owned();
        let mut from = format!("unnest(${changes}::account_change[]) as t");
        if let Some(limits) = limits {
            sql.push_str(", held_nano = l.held_nano, debt_limit_nano = l.debt_limit_nano");
            let _ = write!(
                from,
                " join unnest(${limits}::account_limits[]) as l using (account_id)"
            );
        } else if parts.has_holds {
            sql.push_str(", held_nano = a.held_nano - coalesce(f.nano, 0)");
            from.push_str(" left join freed as f using (account_id)");
        }
        if parts.has_price_guard {
            from.insert_str(0, "priced cross join ");
        }
        let _ = write!(
            sql,
            " from {from} where a.account_id = t.account_id and a.entry_count = t.entry_count_read returning 1)"
        );
        self.add_as("updated", &sql);
        self.expect_all_of("updated", changes);
    }

    const fn next(&mut self) -> u32 {
        self.parameters += 1;
        self.parameters
    }

    /// Adds a part with a parameter of its own, and returns its number.
    fn add(&mut self, name: &str, sql: impl FnOnce(&str) -> String) -> u32 {
        let parameter = self.next();
        self.add_as(name, &sql(&format!("${parameter}")));
        parameter
    }

    fn add_as(&mut self, name: &str, sql: &str) {
        let comma = if self.sql.is_empty() { "" } else { ", " };
        let _ = write!(self.sql, "{comma}{name} as {sql}");
    }

    /// As many rows as the parameter has.
    fn expect_all_of(&mut self, name: &str, parameter: u32) {
        self.expected.push(format!(
            "expect_rows((select count(*) from {name}), cardinality(${parameter}))"
        ));
    }
}

const NEW_ENTRY: &str = "account_id, entry, occurred_at, amount_nano, balance_after_nano, kind, corrects_entry,
    follows_entry, message, api_key_id, namespace_id, entrance, message_id, conversation_id, request_id, lines,
    cost_nano, owed_nano, basis_nano, cap_nano, reason, actor, hash";
const NEW_EVENT: &str =
    "message, number, kind, account_id, entry, api_key_id, entrance, occurred_at, usage,
    counts_as, quarantine_id, versions, other, lines, cost_nano, owed_nano, basis_nano, cap_nano";
const NEW_DELIVERY: &str =
    "received_at, api_key_id, entrance, outcome, reason, message_id, user_id, model_names,
    input_tokens, output_tokens, charge_nano, balance_after_nano, body";
