//! Keyset pages: a cursor is the key of the last item seen.

use std::str::FromStr;

use shared::api::Page;

use crate::error::{Result, refusal};

/// No earlier page gave out this cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCursor;

refusal!(UnknownCursor);

/// Reads a cursor that an earlier page gave out.
pub(crate) fn cursor<T: FromStr>(
    cursor: Option<&str>,
) -> std::result::Result<Option<T>, UnknownCursor> {
    cursor
        .map(|text| text.parse().map_err(|_| UnknownCursor))
        .transpose()
}

/// Builds a page from up to `limit + 1` rows; `read` gives each row's key and item.
pub(crate) fn build<Row, T>(
    rows: impl IntoIterator<Item = Row>,
    limit: u32,
    mut read: impl FnMut(Row) -> Result<(String, T)>,
) -> Result<Page<T>> {
    let mut rows = rows.into_iter();
    let items_max = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut last_key = None;
    for row in rows.by_ref().take(items_max) {
        let (key, item) = read(row)?;
        last_key = Some(key);
        items.push(item);
    }
    let has_more = rows.next().is_some();
    Ok(Page {
        items,
        next_cursor: last_key.filter(|_| has_more),
    })
}
