//! What Dify says it served, beside what arrived: how complete a source's reports are.

use std::collections::{BTreeMap, HashMap};

use shared::api::{Completeness, ServedMessage};
use shared::clock::Timestamp;
use shared::ids::UserId;
use uuid::Uuid;

use crate::error::Result;
use crate::operations::ledger::Ledger;
use crate::records::api_key::ApiKey;
use crate::records::completeness::CompletenessShare;
use crate::store::{completeness, missing_message, recorded_usage};

impl Ledger {
    /// Whose messages a source has reported since then.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn users_of_source(&self, source: &ApiKey, since: Timestamp) -> Result<Vec<UserId>> {
        recorded_usage::users_of_source(self.pool(), source.id, since).await
    }

    /// Claims the check of a source that was not begun for so many seconds, for one process.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn begin_completeness_check(&self, source: Uuid, seconds: u32) -> Result<bool> {
        completeness::begin(self.pool(), source, seconds).await
    }

    /// Notes why a check did not come to its end.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn completeness_check_failed(&self, source: Uuid, why: &str) -> Result<()> {
        completeness::fail(self.pool(), source, why).await
    }

    /// Compares what Dify served with what arrived, for whole days (UTC). What waits in quarantine
    /// has arrived.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn compare_served(&self, source: &ApiKey, served: &[ServedMessage]) -> Result<()> {
        // Dify may list a message twice while it is changing; a statement may not.
        let served: BTreeMap<_, _> = served
            .iter()
            .map(|message| (message.message_id.as_str(), message))
            .collect();
        let served: Vec<_> = served.into_values().collect();
        let mut tx = self.pool().begin().await?;
        missing_message::compare(&mut *tx, source, &served).await?;
        completeness::end(&mut *tx, source.id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What is known of a source's completeness.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn completeness(&self, source: &ApiKey) -> Result<Completeness> {
        let check = completeness::check(self.pool(), source.id).await?;
        let days = completeness::days(self.pool(), source.id).await?;
        let missing = missing_message::of_source(self.pool(), source.id).await?;
        let ended_at = check.as_ref().and_then(|check| check.ended_at);
        Ok(Completeness {
            source: source.name.clone(),
            begun_at: check.as_ref().map(|check| check.begun_at.into()),
            checked_at: ended_at.map(Timestamp::from),
            error: check.and_then(|check| check.error),
            days,
            missing,
        })
    }

    /// What is known of the completeness of every source that was ever checked, by its id.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn completeness_shares(&self) -> Result<HashMap<Uuid, CompletenessShare>> {
        completeness::shares(self.pool()).await
    }
}
