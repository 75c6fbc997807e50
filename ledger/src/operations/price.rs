//! Prices: read as one book, and published as new versions.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::price::{PriceBook, PriceVersion};
use sqlx::PgConnection;
use tracing::warn;
use uuid::Uuid;

use crate::error::{Attempt, Result, refusal};
use crate::operations::ledger::Ledger;
use crate::records::actor::Actor;
use crate::records::job::Task;
use crate::records::price::{NewPrice, PublishedPrice};
use crate::store::advisory_lock::{PRICE_LOCK, lock_transaction};
use crate::store::{audit_log, job, price_version};

/// A start this far in the past is still "now": it is about as long as a form stays open.
const START_TOLERANCE: time::Duration = time::Duration::minutes(5);

/// Why a price was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceRefusal {
    /// What a request costs beside its tokens is below zero.
    NegativePerRequest,
    /// Somebody else published meanwhile.
    Outdated,
    StartInThePast,
}

refusal!(PriceRefusal);

impl Ledger {
    /// All price versions as of now.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn price_book(&self) -> Result<Arc<PriceBook>> {
        let mut connection = self.pool().acquire().await?;
        let at = price_version::revision(&mut *connection).await?;
        let prices = &self.inner.prices;
        prices.at_revision(&mut connection, at.revision).await
    }

    /// Publishes a new version and charges the messages that waited for it.
    ///
    /// # Errors
    /// Somebody else published meanwhile, the start lies in the past, or the price of a request is
    /// negative.
    pub async fn publish_price(
        &self,
        new: NewPrice,
        actor: &Actor,
    ) -> Attempt<PriceVersion, PriceRefusal> {
        if new.rates.per_request.is_negative() {
            return Err(PriceRefusal::NegativePerRequest.into());
        }
        let mut tx = self.pool().begin().await?;
        // Alone from here on: every group that commits before has priced what happened before.
        lock_transaction(&mut tx, PRICE_LOCK).await?;
        let published = self.insert_price(&mut tx, &new, actor).await?;
        let release = enqueue_release(&mut tx, &published, actor).await?;
        tx.commit().await?;
        if let Some(job) = release
            && let Err(error) = self.run_job(job).await
        {
            // The price is published, and the job is taken up again.
            warn!(%job, %error, "what waited for a price is not charged yet");
        }
        Ok(published)
    }

    /// Enters the next version of a model and its audit, under the price lock.
    async fn insert_price(
        &self,
        tx: &mut PgConnection,
        new: &NewPrice,
        actor: &Actor,
    ) -> Attempt<PriceVersion, PriceRefusal> {
        let at = price_version::revision(&mut *tx).await?;
        let book = self.inner.prices.at_revision(tx, at.revision).await?;
        let newest = book
            .history(&new.model_name)
            .max_by_key(|version| version.version);
        let newest_version = newest.map_or(0, |version| version.version);
        if new.expected_version.is_some_and(|it| it != newest_version) {
            return Err(PriceRefusal::Outdated.into());
        }
        let from = effective_from(new, newest.is_some(), at.now.into())?;
        let version = newest_version + 1;
        let published = price_version::insert(&mut *tx, new, version, from, actor).await?;
        let before = newest.map(PublishedPrice::from);
        let after = PublishedPrice::from(&published);
        let model = new.model_name.as_str();
        let action = "price.publish";
        audit_log::record(tx, actor, action, model, before.as_ref(), Some(&after)).await?;
        Ok(published)
    }
}

/// A version that is in force may be what messages have waited for.
async fn enqueue_release(
    tx: &mut PgConnection,
    published: &PriceVersion,
    actor: &Actor,
) -> Result<Option<Uuid>> {
    if !published.is_active {
        return Ok(None);
    }
    let task = Task::Release {
        model_name: published.model_name.clone(),
    };
    job::insert(tx, &task, actor).await.map(Some)
}

fn effective_from(
    new: &NewPrice,
    has_versions: bool,
    now: Timestamp,
) -> std::result::Result<Option<Timestamp>, PriceRefusal> {
    match new.effective_from {
        None if has_versions => Ok(Some(now)),
        None => Ok(None),
        Some(from) if from.moment() < now.moment() - START_TOLERANCE => {
            Err(PriceRefusal::StartInThePast)
        }
        // Never before now: what was charged a moment ago keeps its price.
        Some(from) => Ok(Some(from.max(now))),
    }
}
