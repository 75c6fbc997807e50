//! Deliveries, as the monitor begins with them.

use serde::{Deserialize, Serialize};
use shared::api::LiveEvent;

/// How many deliveries are listed; older ones give way to newer ones.
pub const ROWS_MAX: usize = 100;

/// What the monitor starts with, and where to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStart {
    /// Oldest first.
    pub events: Vec<LiveEvent>,
    pub cursor: String,
}

/// The latest deliveries.
#[cfg(feature = "ssr")]
pub async fn latest_deliveries() -> Result<LiveStart, crate::error::AppError> {
    let (context, _) = crate::auth::administrator().await?;
    let limit = u32::try_from(ROWS_MAX).unwrap_or(u32::MAX);
    let page = context.ledger.live_latest(limit).await?;
    Ok(LiveStart {
        events: page.events,
        cursor: page.cursor,
    })
}
