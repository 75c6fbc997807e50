//! Runs that Dify has paused for a person's input, until what they used afterwards is charged.
//!
//! Any number of processes may look for what is due: whoever takes a run has it for a while, renews
//! that while it reads, and gives it back. The run of a process that died is taken by another one.

use shared::formats::dify_stream::Pause;
use shared::ids::UserId;
use shared::usage::LinePlace;

use crate::charging::record::Record;
use crate::error::Result;
use crate::operations::ledger::Ledger;
use crate::records::api_key::ApiKey;
use crate::records::hash::MessageId;
use crate::records::paused_run::{ForgottenRun, PausedRun, RunLease};
use crate::records::recorded_tokens::RecordedTokens;
use crate::store::{paused_run, quarantine};

impl Ledger {
    /// Keeps a run that was paused, again or for the first time. `dify_user` is the user's name as Dify
    /// knows it.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn remember_paused(
        &self,
        source: &ApiKey,
        user: &UserId,
        dify_user: &str,
        pause: &Pause,
    ) -> Result<()> {
        paused_run::upsert(self.pool(), source.id, user, dify_user, pause).await
    }

    /// The run has ended, and what it used is on record.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn forget_paused(&self, source: &ApiKey, run_id: &str) -> Result<()> {
        paused_run::delete(self.pool(), source.id, run_id).await
    }

    /// The run that waits for a form.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn paused_run_of(
        &self,
        source: &ApiKey,
        form_token: &str,
    ) -> Result<Option<PausedRun>> {
        paused_run::by_form(self.pool(), source.id, form_token)
            .await?
            .map(|row| row.unseal(&self.inner.sealing))
            .transpose()
    }

    /// Takes a run for this process, if it can be followed now.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn take_paused(&self, run: &PausedRun) -> Result<RunLease> {
        if paused_run::take(self.pool(), run.source.id, &run.run_id).await? {
            return Ok(RunLease::Yes);
        }
        let is_free = paused_run::is_free(self.pool(), run.source.id, &run.run_id).await?;
        Ok(match is_free {
            Some(true) => RunLease::ShareUsedUp,
            _ => RunLease::Elsewhere,
        })
    }

    /// Takes runs whose time has come, `limit` at most, and none of revoked sources. One whose source
    /// cannot be read, as after a change of the sealing key, keeps no other waiting.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn take_due_paused(&self, limit: u32) -> Result<Vec<PausedRun>> {
        let taken = paused_run::take_due(self.pool(), limit).await?;
        let readable = taken.into_iter().filter_map(|row| {
            let run = row.unseal(&self.inner.sealing);
            run.inspect_err(
                |error| tracing::error!(%error, "a paused run cannot be followed: {error}"),
            )
            .ok()
        });
        Ok(readable.collect())
    }

    /// Goes on with a run that this process has; false when there is no use in that any longer.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn keep_paused(&self, run: &PausedRun) -> Result<bool> {
        paused_run::renew(self.pool(), run.source.id, &run.run_id).await
    }

    /// Gives a run back that has not ended: it is looked at later, or as soon as somebody asked for
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn leave_paused(&self, run: &PausedRun) -> Result<()> {
        paused_run::give_back(self.pool(), run.source.id, &run.run_id).await
    }

    /// Has a user's paused runs looked at now, or only one of them.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn wake_paused(
        &self,
        source: &ApiKey,
        user: &UserId,
        run_id: Option<&str>,
    ) -> Result<()> {
        paused_run::wake(self.pool(), source.id, user, run_id).await
    }

    /// Gives up the runs that have waited for too long, and those whose source was revoked.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn forget_lost_paused(&self) -> Result<Vec<ForgottenRun>> {
        paused_run::delete_lost(self.pool()).await
    }

    /// The tokens of a message that are on record, charged or waiting: a sum of the whole that is not
    /// larger brings nothing new.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn tokens_on_record(&self, source: &ApiKey, message_id: &str) -> Result<u64> {
        let id = MessageId::new(source.namespace_id, message_id);
        let mut connection = self.pool().acquire().await?;
        let record = Record::read(&mut connection, &[id]).await?;
        let found = record.find(&[id]);
        let Some(message) = found.first().and_then(|id| record.get(*id)) else {
            return Ok(0);
        };
        let waiting = quarantine::waiting_of(&mut *connection, message.id.0).await?;
        let mut recorded = RecordedTokens::default();
        for line in &message.lines {
            let call_id = match &line.place {
                LinePlace::Call(id) => Some(id.clone()),
                LinePlace::Whole(_) | LinePlace::Count => None,
            };
            recorded.add_charge(call_id, line.tokens.total());
        }
        for row in waiting {
            if let Some(report) = row.report {
                recorded.add_waiting(report.0, row.continues);
            }
        }
        Ok(recorded.total())
    }
}
