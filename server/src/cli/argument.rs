//! How arguments are read, for clap.

use std::fmt::Display;

use shared::clock::Timestamp;

/// Reads a moment, of which a bare date is the beginning in UTC.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    text.parse()
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .map_err(|_| {
            "must be a date such as 2026-01-31, or a time such as 2026-01-31T10:30:00Z".to_owned()
        })
}

/// Reads a value by `FromStr` and says what is wrong with it.
pub(super) fn parsed<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
