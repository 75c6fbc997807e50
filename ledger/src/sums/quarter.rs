//! Quarters of an hour, by which sums are kept, and days of them.

use time::{OffsetDateTime, PrimitiveDateTime};

const SECONDS: i64 = 15 * 60;

/// Quarters of an hour since 1970 began (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Quarter(pub i32);

impl Quarter {
    pub(crate) const IN_A_DAY: i32 = 96;

    /// The one that a moment lies in.
    pub(crate) fn of(moment: OffsetDateTime) -> Self {
        // The year 9999 is 282 million quarters away.
        let quarters = moment.unix_timestamp().div_euclid(SECONDS);
        Self(i32::try_from(quarters).unwrap_or(i32::MAX))
    }

    pub(crate) fn start(self) -> OffsetDateTime {
        let seconds = i64::from(self.0) * SECONDS;
        let start = OffsetDateTime::from_unix_timestamp(seconds);
        // Only the one after the year 9999 is no moment.
        start.unwrap_or(PrimitiveDateTime::MAX.assume_utc())
    }

    /// The first one of its day (UTC).
    pub(crate) const fn day(self) -> Self {
        Self(self.0 - self.0.rem_euclid(Self::IN_A_DAY))
    }

    /// The first one of its day, or of the next where it is none.
    pub(crate) const fn next_day(self) -> Self {
        Self(self.0 + (-self.0).rem_euclid(Self::IN_A_DAY))
    }

    pub(crate) const fn plus(self, quarters: i32) -> Self {
        Self(self.0 + quarters)
    }
}
