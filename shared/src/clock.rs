//! Moments. There is no clock here: whoever needs "now" is told it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A moment in UTC with microsecond precision, RFC 3339 in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Timestamp(#[serde(with = "time::serde::rfc3339")] OffsetDateTime);

impl Timestamp {
    /// Truncates to the microsecond, the precision Postgres stores.
    #[must_use]
    pub fn new(moment: OffsetDateTime) -> Self {
        // Only the last hours of the year 9999 have no counterpart in UTC.
        let moment = moment.checked_to_offset(UtcOffset::UTC).unwrap_or(moment);
        let micros = moment.microsecond();
        Self(moment.replace_microsecond(micros).unwrap_or(moment))
    }

    /// `None` for a moment whose year in UTC has no four digits: RFC 3339 cannot write it.
    fn writable(moment: OffsetDateTime) -> Option<Self> {
        let moment = moment.checked_to_offset(UtcOffset::UTC)?;
        (0..=9999)
            .contains(&moment.year())
            .then(|| Self::new(moment))
    }

    /// Seconds since 1970-01-01 UTC; `None` outside the years that can be written.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(Self::writable)
    }

    /// Microseconds since 1970-01-01 UTC; `None` outside the years that can be written.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
            .ok()
            .and_then(Self::writable)
    }

    #[must_use]
    pub fn unix_micros(self) -> i64 {
        // Every representable moment fits: the year 9999 is 2.5 × 10^17 µs away.
        i64::try_from(self.0.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
    }

    #[must_use]
    pub const fn moment(self) -> OffsetDateTime {
        self.0
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(moment: OffsetDateTime) -> Self {
        Self::new(moment)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an RFC 3339 moment such as `2024-01-15T10:30:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an RFC 3339 time")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        OffsetDateTime::parse(text.trim(), &Rfc3339)
            .ok()
            .and_then(Self::writable)
            .ok_or(NotATime)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let moment = time::serde::rfc3339::deserialize(deserializer)?;
        Self::writable(moment).ok_or_else(|| de::Error::custom(NotATime))
    }
}
