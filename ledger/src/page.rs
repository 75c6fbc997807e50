//! Keyset pages: a cursor is the key of the last item seen.

use std::str::FromStr;

use shared::api::Page;
use shared::problem::{FieldFault, Problem};
use sqlx::postgres::PgRow;

use crate::error::Result;

/// Reads a cursor that an earlier page gave out.
pub(crate) fn cursor<T: FromStr>(cursor: Option<&str>) -> Result<Option<T>> {
    cursor
        .map(|text| {
            text.parse()
                .map_err(|_| Problem::field("cursor", FieldFault::NotACursor).into())
        })
        .transpose()
}

/// Builds a page from up to `limit + 1` rows; `read` gives each row's key and item.
pub(crate) fn build<T>(
    rows: &[PgRow],
    limit: u32,
    mut read: impl FnMut(&PgRow) -> Result<(String, T)>,
) -> Result<Page<T>> {
    let items_max = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > items_max;
    let mut items = Vec::with_capacity(rows.len());
    let mut last_key = None;
    for row in rows.iter().take(items_max) {
        let (key, item) = read(row)?;
        last_key = Some(key);
        items.push(item);
    }
    Ok(Page {
        items,
        next_cursor: last_key.filter(|_| has_more),
    })
}
