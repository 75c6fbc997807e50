//! The live feed: deliveries in an order that a reader can resume without gap or repeat.
//!
//! What charged something is read from the journal, the rest from the log of deliveries. Numbers are
//! handed out before commit, so reading "after the last number" could skip a row that commits late. The
//! feed is therefore ordered by transaction, and shows only transactions older than the oldest one still
//! running: nothing can appear behind a reader.

use shared::api::LiveEvent;
use tokio::sync::watch;

use crate::error::{Attempt, Result, refusal};
use crate::operations::ledger::Ledger;
use crate::store::feed::{self, FeedPlace, FeedRow};

/// No page of the feed gave out this cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFeedPlace;

refusal!(UnknownFeedPlace);

/// A stretch of the feed.
#[derive(Debug, Clone)]
pub struct LivePage {
    /// Oldest first.
    pub events: Vec<LiveEvent>,
    /// Where to go on; the given one when there was nothing.
    pub cursor: String,
    /// More is there already.
    pub has_more: bool,
    /// Rows are committed that an older running transaction still holds back: look again soon.
    pub is_held_back: bool,
}

impl Ledger {
    /// The newest deliveries.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn live_latest(&self, limit: u32) -> Result<LivePage> {
        let mut rows = feed::latest(self.pool(), i64::from(limit)).await?;
        rows.reverse();
        let place = rows.last().map_or(FeedPlace::START, FeedRow::place);
        let events = rows.into_iter().map(FeedRow::event);
        Ok(LivePage {
            cursor: place.to_string(),
            events: events.collect::<Result<_>>()?,
            has_more: false,
            is_held_back: false,
        })
    }

    /// What came after a cursor, up to `limit` deliveries.
    ///
    /// # Errors
    /// [`UnknownFeedPlace`].
    pub async fn live_after(
        &self,
        cursor: &str,
        limit: u32,
    ) -> Attempt<LivePage, UnknownFeedPlace> {
        let after: FeedPlace = cursor.parse().map_err(|()| UnknownFeedPlace)?;
        let rows = feed::after(self.pool(), after, i64::from(limit) + 1).await?;
        let mut page = LivePage {
            events: Vec::with_capacity(rows.len()),
            cursor: cursor.to_owned(),
            has_more: false,
            is_held_back: false,
        };
        let events_max = usize::try_from(limit).unwrap_or(usize::MAX);
        for row in rows {
            if row.is_held_back {
                page.is_held_back = true;
                break;
            }
            if page.events.len() == events_max {
                page.has_more = true;
                break;
            }
            page.cursor = row.place().to_string();
            page.events.push(row.event()?);
        }
        Ok(page)
    }

    /// Changes when [`Ledger::live_after`] may have something new. What another process committed
    /// may stay untold: look now and then all the same.
    #[must_use]
    pub fn live_signal(&self) -> watch::Receiver<()> {
        self.inner.feed.subscribe()
    }
}
