//! Every authenticated delivery leaves a row, whatever became of it.

use shared::api::Outcome;
use shared::clock::Timestamp;
use shared::dify::MessageUsage;
use shared::problem::Problem;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::{ApiKey, Entrance, Ledger};
use crate::{live, quarantine};

/// The row of one delivery.
pub(crate) struct Trace<'a> {
    pub received_at: OffsetDateTime,
    pub api_key_id: Uuid,
    pub entrance: &'static str,
    pub outcome: Outcome,
    /// A quarantine reason or a problem's code.
    pub reason: Option<&'static str>,
    pub usage: Option<&'a MessageUsage>,
    pub charge_nano: Option<i64>,
    pub balance_after_nano: Option<i64>,
    pub consumption_id: Option<Uuid>,
    pub body: Option<&'a [u8]>,
}

impl Trace<'_> {
    /// All models of the message, for people to read.
    fn model_names(&self) -> Option<String> {
        let calls = &self.usage?.calls;
        let mut names: Vec<_> = calls.iter().map(|call| call.model_name.as_str()).collect();
        names.dedup();
        Some(names.join(", "))
    }

    fn tokens(&self, count: impl Fn(&shared::tokens::Tokens) -> u64) -> i64 {
        let total = self.usage.map_or(0, |usage| {
            usage
                .calls
                .iter()
                .fold(0_u64, |sum, call| sum.saturating_add(count(&call.tokens)))
        });
        i64::try_from(total).unwrap_or(i64::MAX)
    }
}

/// Writes the rows and tells every listening process, when the transaction commits.
pub(crate) async fn insert(tx: &mut PgConnection, traces: &[Trace<'_>]) -> Result<()> {
    macro_rules! column {
        ($field:expr) => {
            traces.iter().map($field).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "with written as (
             insert into delivery (received_at, api_key_id, entrance, outcome, reason, message_id,
                 user_id, model_name, input_tokens, output_tokens, charge_nano, balance_after_nano,
                 consumption_id, body)
             select * from unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[],
                 $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[],
                 $12::bigint[], $13::uuid[], $14::bytea[])
         )
         select pg_notify($15, '')",
    )
    .bind(column!(|trace| trace.received_at))
    .bind(column!(|trace| trace.api_key_id))
    .bind(column!(|trace| trace.entrance))
    .bind(column!(|trace| trace.outcome.as_str()))
    .bind(column!(|trace| trace.reason))
    .bind(column!(|trace| trace
        .usage
        .map(|usage| usage.message_id.as_str())))
    .bind(column!(|trace| trace
        .usage
        .map(|usage| usage.user_id.as_str())))
    .bind(column!(Trace::model_names))
    .bind(column!(|trace| trace.tokens(|tokens| tokens
        .input
        .saturating_add(tokens.cached_input)
        .saturating_add(tokens.cache_write))))
    .bind(column!(|trace| trace.tokens(|tokens| tokens
        .output
        .saturating_add(tokens.reasoning))))
    .bind(column!(|trace| trace.charge_nano))
    .bind(column!(|trace| trace.balance_after_nano))
    .bind(column!(|trace| trace.consumption_id))
    .bind(column!(|trace| trace.body))
    .bind(live::DELIVERY_CHANNEL)
    .execute(tx)
    .await?;
    Ok(())
}

impl Ledger {
    /// Keeps an authenticated delivery whose body was refused, so that an administrator can see it.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn reject(
        &self,
        source: &ApiKey,
        entrance: Entrance,
        body: &[u8],
        problem: &Problem,
        received_at: Timestamp,
    ) -> Result<()> {
        let mut tx = self.pool().begin().await?;
        let trace = Trace {
            received_at: received_at.moment(),
            api_key_id: source.id,
            entrance: entrance.as_str(),
            outcome: Outcome::Rejected,
            reason: Some(problem.code()),
            usage: None,
            charge_nano: None,
            balance_after_nano: None,
            consumption_id: None,
            body: Some(body),
        };
        insert(&mut tx, &[trace]).await?;
        if is_unreadable(problem) {
            let received_at = received_at.moment();
            quarantine::insert_unreadable(&mut tx, source, entrance, body, received_at).await?;
        }
        tx.commit().await?;
        self.inner.live.changed();
        Ok(())
    }
}

/// Whether somebody may have used tokens that the body failed to tell. What was refused for its
/// key, its signature or its size says nothing of that: whoever sent it can send it again.
const fn is_unreadable(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::InvalidJson { .. } | Problem::InvalidField { .. }
    )
}
