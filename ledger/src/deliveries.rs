//! Every authenticated delivery leaves a row, whatever became of it.

use shared::api::{Outcome, QuarantineReason};
use shared::clock::Timestamp;
use shared::dify::MessageUsage;
use shared::problem::Problem;
use shared::tokens::Tokens;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::locked::Accounts;
use crate::quarantine;
use crate::{ApiKey, Entrance, Ledger};

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
    pub(crate) fn message_id(&self) -> Option<&str> {
        Some(self.usage?.message_id.as_str())
    }

    pub(crate) fn user_id(&self) -> Option<&str> {
        Some(self.usage?.user_id.as_str())
    }

    /// All models of the message, for people to read.
    pub(crate) fn model_names(&self) -> Option<String> {
        let calls = &self.usage?.calls;
        let mut names: Vec<_> = calls.iter().map(|call| call.model_name.as_str()).collect();
        names.dedup();
        (!names.is_empty()).then(|| names.join(", "))
    }

    pub(crate) fn input_tokens(&self) -> i64 {
        self.tokens(Tokens::all_input)
    }

    pub(crate) fn output_tokens(&self) -> i64 {
        self.tokens(Tokens::all_output)
    }

    fn tokens(&self, count: impl Fn(&Tokens) -> u64) -> i64 {
        let total = self.usage.map_or(0, |usage| {
            usage
                .calls
                .iter()
                .fold(0_u64, |sum, call| sum.saturating_add(count(&call.tokens)))
        });
        i64::try_from(total).unwrap_or(i64::MAX)
    }
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
        let untold = is_unreadable(problem).then_some(QuarantineReason::Unreadable);
        let became = (Outcome::Rejected, problem.code());
        self.keep_untold(source, entrance, body, became, untold, received_at)
            .await
    }

    /// Keeps the parts of a trace that tell of tokens and make no message.
    pub(crate) async fn keep_incomplete(
        &self,
        source: &ApiKey,
        body: &[u8],
        received_at: Timestamp,
    ) -> Result<()> {
        let reason = QuarantineReason::IncompleteTrace;
        let became = (Outcome::Quarantined, reason.as_str());
        self.keep_untold(
            source,
            Entrance::Langfuse,
            body,
            became,
            Some(reason),
            received_at,
        )
        .await
    }

    async fn keep_untold(
        &self,
        source: &ApiKey,
        entrance: Entrance,
        body: &[u8],
        (outcome, reason): (Outcome, &'static str),
        quarantined: Option<QuarantineReason>,
        received_at: Timestamp,
    ) -> Result<()> {
        let mut tx = self.pool().begin().await?;
        let received_at = received_at.moment();
        let trace = Trace {
            received_at,
            api_key_id: source.id,
            entrance: entrance.as_str(),
            outcome,
            reason: Some(reason),
            usage: None,
            charge_nano: None,
            balance_after_nano: None,
            consumption_id: None,
            body: Some(body),
        };
        Accounts::none().write_traced(&mut tx, &[trace]).await?;
        if let Some(reason) = quarantined {
            quarantine::insert_untold(&mut tx, source, entrance, reason, body, received_at).await?;
        }
        tx.commit().await?;
        self.inner.live.committed();
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
