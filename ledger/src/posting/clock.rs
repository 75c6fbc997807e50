//! The database's time without asking for it each time.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// How long one reading is good for: what a clock drifts meanwhile is far below a millisecond.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// What the database's clock says, from its last reading on.
///
/// A reading is old by the time it arrives, so this is never ahead of the database: a price that is
/// published with a time by that clock is never charged before it.
#[derive(Debug, Default)]
pub(crate) struct DatabaseClock {
    reading: Option<(OffsetDateTime, Instant)>,
}

impl DatabaseClock {
    /// The database has just said so.
    pub(crate) fn set(&mut self, now: OffsetDateTime) {
        self.reading = Some((now, Instant::now()));
    }

    /// Now; `None` when the database is to be asked again.
    pub(crate) fn now(&self) -> Option<OffsetDateTime> {
        let (read, at) = self.reading?;
        let elapsed = at.elapsed();
        if elapsed > GOOD_FOR {
            return None;
        }
        let now = read.checked_add(elapsed.try_into().ok()?)?;
        // As precise as the database stores it.
        now.replace_microsecond(now.microsecond()).ok()
    }
}
