//! Price versions are published once and never changed, so one immutable book is cached.

use std::sync::{Arc, PoisonError, RwLock};

use shared::price::PriceBook;
use sqlx::PgConnection;

use crate::error::Result;
use crate::store::price_version;

/// The newest book any part of this process has read.
#[derive(Clone, Default)]
pub(crate) struct PriceCache(Arc<RwLock<Arc<PriceBook>>>);

impl PriceCache {
    /// The newest book that this process has read.
    pub(crate) fn current(&self) -> Arc<PriceBook> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the book if a price was published since.
    pub(crate) async fn refresh(&self, connection: &mut PgConnection) -> Result<Arc<PriceBook>> {
        let at = price_version::revision(&mut *connection).await?;
        self.at_revision(connection, at.revision).await
    }

    /// The book with exactly this revision. Versions only come in, one after the other, so the
    /// revision tells whether the cached book is still the whole one.
    pub(crate) async fn at_revision(
        &self,
        connection: &mut PgConnection,
        revision: i64,
    ) -> Result<Arc<PriceBook>> {
        let cached = self.current();
        if cached.revision() == revision {
            return Ok(cached);
        }
        let versions = price_version::all(connection).await?;
        let book = Arc::new(PriceBook::new(versions));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&book);
        Ok(book)
    }
}
