//! Sums of the journal, what they are told apart by, and the mark that they are kept up to.

use shared::api::EntryKind;
use shared::ids::ModelName;
use shared::usage::Evidence;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::hash::account_id;
use crate::records::usage_sum::{UsageClock, UsageCut, UsageFilter};

/// How a transaction begins that adds to the sums: by keys, as what writes messages does. It need not
/// wait for the disk: what a crash takes back is added again, because the mark goes with it.
pub(crate) const BEGIN: &str = "begin; set local synchronous_commit = off;
    set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off;
    set local enable_hashjoin = off; set local enable_mergejoin = off; set local jit = off";

/// How a transaction begins that reads sums and what is not in them yet, all as of one moment.
pub(crate) const BEGIN_READING: &str =
    "begin isolation level repeatable read read only; set local jit = off";

/// What sums are kept up to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SumMark {
    /// The first transaction that is not in them.
    pub tx: u64,
    /// Quarters before this one are folded into days.
    pub folded_until: i32,
}

async fn mark_by(executor: impl PgExecutor<'_>, sql: &'static str) -> Result<SumMark> {
    let (tx, folded_until): (String, i32) = sqlx::query_as(sql).fetch_one(executor).await?;
    let tx = tx.parse().map_err(|_| Error::corrupt("the mark of sums"))?;
    Ok(SumMark { tx, folded_until })
}

pub(crate) async fn mark(executor: impl PgExecutor<'_>) -> Result<SumMark> {
    mark_by(executor, "select tx::text, folded_until from sum_mark").await
}

/// Whoever changes sums holds this lock, so that everything is added once.
pub(crate) async fn lock_mark(executor: impl PgExecutor<'_>) -> Result<SumMark> {
    mark_by(
        executor,
        "select tx::text, folded_until from sum_mark for update",
    )
    .await
}

pub(crate) async fn move_mark(executor: impl PgExecutor<'_>, tx: u64) -> Result<()> {
    sqlx::query!("update sum_mark set tx = $1::text::xid8", tx.to_string())
        .execute(executor)
        .await?;
    Ok(())
}

/// What sums are told apart by, in columns.
#[derive(Debug, Default)]
pub(crate) struct DimensionColumns<'a> {
    pub kinds: Vec<&'static str>,
    pub model_keys: Vec<&'a str>,
    pub evidences: Vec<&'static str>,
    pub api_key_ids: Vec<Uuid>,
}

/// The numbers of some dimensions, each different, in their order. Those that are new get one; the lock of
/// the mark keeps others from doing the same.
pub(crate) async fn dimension_ids(
    connection: &mut PgConnection,
    dimensions: &DimensionColumns<'_>,
) -> Result<Vec<i32>> {
    Ok(sqlx::query_scalar(
        "with wanted as (
             select * from unnest($1::text[], $2::text[], $3::text[], $4::uuid[])
                 with ordinality as w (kind, model_key, evidence, api_key_id, place)
         ), made as (
             insert into sum_dimension (kind, model_key, evidence, api_key_id)
             select w.kind, w.model_key, w.evidence, w.api_key_id
             from wanted w left join sum_dimension d using (kind, model_key, evidence, api_key_id)
             where d.sum_dimension_id is null
             returning *
         )
         select coalesce(d.sum_dimension_id, m.sum_dimension_id)
         from wanted w left join sum_dimension d using (kind, model_key, evidence, api_key_id)
         left join made m using (kind, model_key, evidence, api_key_id)
         order by w.place",
    )
    .bind(&dimensions.kinds)
    .bind(&dimensions.model_keys)
    .bind(&dimensions.evidences)
    .bind(&dimensions.api_key_ids)
    .fetch_all(connection)
    .await?)
}

/// What is added to one row.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "sum_change")]
pub(crate) struct SumChange {
    pub account_id: Uuid,
    pub booked: i32,
    pub happened: i32,
    pub sum_dimension_id: i32,
    pub entries: i64,
    pub messages: i64,
    pub calls: i64,
    pub input: i64,
    pub cached_input: i64,
    pub cache_write: i64,
    pub output: i64,
    pub reasoning: i64,
    pub amount_nano: i64,
    pub cost_nano: i64,
}

/// Adds to rows, each once and in the order of their keys.
pub(crate) async fn add(connection: &mut PgConnection, changes: &[SumChange]) -> Result<()> {
    sqlx::query(
        "insert into usage_sum as s (account_id, booked, happened, sum_dimension_id, entries, messages, calls, input,
             cached_input, cache_write, output, reasoning, amount_nano, cost_nano)
         select * from unnest($1::sum_change[])
         on conflict (account_id, booked, sum_dimension_id, happened) do update set
             entries = s.entries + excluded.entries,
             messages = s.messages + excluded.messages,
             calls = s.calls + excluded.calls,
             input = s.input + excluded.input,
             cached_input = s.cached_input + excluded.cached_input,
             cache_write = s.cache_write + excluded.cache_write,
             output = s.output + excluded.output,
             reasoning = s.reasoning + excluded.reasoning,
             amount_nano = s.amount_nano + excluded.amount_nano,
             cost_nano = s.cost_nano + excluded.cost_nano",
    )
    .bind(changes)
    .execute(connection)
    .await?;
    Ok(())
}

/// The first quarter that something is summed in, from one on.
pub(crate) async fn first_booked(executor: impl PgExecutor<'_>, from: i32) -> Result<Option<i32>> {
    Ok(sqlx::query_scalar!(
        "select booked from usage_sum where booked >= $1 order by booked limit 1",
        from
    )
    .fetch_optional(executor)
    .await?)
}

/// Makes one row of all quarters of a day, and of the days on which their messages happened. Says until
/// where that is done.
pub(crate) async fn fold_day(connection: &mut PgConnection, day: i32, until: i32) -> Result<()> {
    sqlx::query(
        "with old as (delete from usage_sum where booked >= $1 and booked < $2 returning *)
         insert into usage_sum
         select account_id, $1, happened - (happened % 96 + 96) % 96 as happened, sum_dimension_id,
                sum(entries), sum(messages), sum(calls), sum(input), sum(cached_input), sum(cache_write),
                sum(output), sum(reasoning), sum(amount_nano), sum(cost_nano)
         from old group by 1, 3, 4",
    )
    .bind(day)
    .bind(until)
    .execute(&mut *connection)
    .await?;
    set_folded(connection, until).await
}

pub(crate) async fn set_folded(executor: impl PgExecutor<'_>, until: i32) -> Result<()> {
    sqlx::query!(
        "update sum_mark set folded_until = greatest(folded_until, $1)",
        until
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// One sum; what it is not told apart by is absent.
#[derive(sqlx::FromRow)]
pub(crate) struct SumRow {
    pub period: Option<i32>,
    pub account_id: Option<Uuid>,
    pub kind: Option<String>,
    pub model_key: Option<String>,
    pub evidence: Option<String>,
    pub api_key_id: Option<Uuid>,
    /// Whole numbers in the order of the columns: some have more than 64 bits.
    pub measures: Vec<String>,
}

const MEASURES: &str = "array[sum(entries), sum(messages), sum(calls), sum(input), sum(cached_input), sum(cache_write),
    sum(output), sum(reasoning), sum(amount_nano), sum(cost_nano)]::text[] as measures";

/// Sums of what is in the sums already, from a quarter on and before another.
pub(crate) async fn sums(
    connection: &mut PgConnection,
    (from, to): (i32, i32),
    filter: &UsageFilter,
    cut: UsageCut,
) -> Result<Vec<SumRow>> {
    let account = match filter.user_id {
        None if cut.by_account => "account_id <> $3",
        // The nil account is all of them together.
        _ => "account_id = $3",
    };
    let rows = match filter.clock {
        UsageClock::Booked => format!(
            "select *, booked as at from usage_sum where {account} and booked >= $1 and booked < $2"
        ),
        UsageClock::Happened => format!(
            "select *, booked as at from usage_sum
             where {account} and booked >= $1 and booked < $2 and happened = booked
             union all
             select *, happened from usage_sum
             where {account} and happened >= $1 and happened < $2 and happened <> booked"
        ),
    };
    let sql = format!(
        "select case when $7 > 0 then $1 + (at - $1) / $7 * $7 end as period,
                case when $8 then account_id end as account_id, case when $9 then kind end as kind,
                case when $10 then model_key end as model_key, case when $11 then evidence end as evidence,
                case when $12 then api_key_id end as api_key_id, {MEASURES}
         from ({rows}) as s join sum_dimension using (sum_dimension_id)
         where ($4::text[] is null or kind = any($4)) and ($5::text is null or model_key = $5)
             and ($6::uuid[] is null or api_key_id = any($6))
         group by 1, 2, 3, 4, 5, 6"
    );
    let kinds = filter.kinds.as_ref();
    let kinds = kinds.map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>());
    Ok(sqlx::query_as(AssertSqlSafe(sql))
        .bind(from)
        .bind(to)
        .bind(filter.user_id.as_ref().map(account_id).unwrap_or_default())
        .bind(kinds)
        .bind(filter.model_name.as_ref().map(ModelName::key))
        .bind(&filter.api_key_ids)
        .bind(i32::from(cut.quarters))
        .bind(cut.by_account)
        .bind(cut.by_kind)
        .bind(cut.by_model)
        .bind(cut.by_evidence)
        .bind(cut.by_source)
        .fetch_all(connection)
        .await?)
}

/// A row as it is stored, with what it is told apart by.
#[derive(sqlx::FromRow)]
pub(crate) struct StoredSumRow {
    pub account_id: Uuid,
    pub booked: i32,
    pub happened: i32,
    pub kind: String,
    pub model_key: String,
    pub evidence: String,
    pub api_key_id: Uuid,
    pub measures: Vec<String>,
}

/// All rows of the accounts after one, up to another.
pub(crate) async fn of_accounts(
    connection: &mut PgConnection,
    (after, to): (Uuid, Uuid),
) -> Result<Vec<StoredSumRow>> {
    Ok(sqlx::query_as(
        "select account_id, booked, happened, kind, model_key, evidence, api_key_id,
                array[entries, messages, calls, input, cached_input, cache_write, output, reasoning,
                    amount_nano, cost_nano]::text[] as measures
         from usage_sum join sum_dimension using (sum_dimension_id)
         where account_id > $1 and account_id <= $2",
    )
    .bind(after)
    .bind(to)
    .fetch_all(connection)
    .await?)
}

/// Times of rows of the nil account that are not the sum of all others, as a rule none.
pub(crate) async fn wrong_totals(connection: &mut PgConnection, rows_max: i64) -> Result<Vec<i32>> {
    let differ = [
        "entries",
        "messages",
        "calls",
        "input",
        "cached_input",
        "cache_write",
        "output",
        "reasoning",
        "amount_nano",
        "cost_nano",
    ]
    .map(|column| format!("sum(case when account_id = $1 then {column} else -{column} end) <> 0"))
    .join(" or ");
    let sql = format!(
        "select booked from usage_sum group by booked, happened, sum_dimension_id having {differ}
         order by booked limit $2"
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(Uuid::nil())
        .bind(rows_max)
        .fetch_all(connection)
        .await?)
}

/// A kind as it is stored.
pub(crate) fn kind_of(text: &str) -> Result<EntryKind> {
    let mut all = EntryKind::ALL.into_iter();
    all.find(|kind| kind.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("entry kind {text}")))
}

/// An evidence as it is stored: empty where there is none.
pub(crate) fn evidence_of(text: &str) -> Result<Option<Evidence>> {
    let mut all = Evidence::ALL.into_iter();
    match all.find(|evidence| evidence.as_str() == text) {
        None if !text.is_empty() => Err(Error::corrupt(format!("evidence {text}"))),
        evidence => Ok(evidence),
    }
}
