//! Work on parts of the books at the same time.

use std::future::Future;
use std::thread::available_parallelism;

use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Connections used at most, however many cores there are: Postgres works on as many at once.
const CONNECTIONS_MAX: usize = 8;
/// Ids are digests, so that equal parts of their range hold about equally many.
const RANGES: u128 = 16;

/// All ids, in parts: the first and the last of each.
pub(super) fn id_ranges() -> Vec<(Uuid, Uuid)> {
    let size = u128::MAX / RANGES + 1;
    let first = |number: u128| number.wrapping_mul(size);
    let ranges = (0..RANGES).map(|number| {
        let last = first(number + 1).wrapping_sub(1);
        (Uuid::from_u128(first(number)), Uuid::from_u128(last))
    });
    ranges.collect()
}

/// Runs work on each part, on as many connections as there are cores; the results in the order of the
/// parts.
pub(super) async fn in_parallel<Part, T, Work>(
    parts: Vec<Part>,
    work: impl Fn(Part) -> Work,
) -> Result<Vec<T>>
where
    Work: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let cores = available_parallelism().map_or(1, usize::from);
    stream::iter(parts)
        .map(|part| tokio::spawn(work(part)))
        .buffered(cores.min(CONNECTIONS_MAX))
        .map(|done| done.map_err(|_| Error::Stopped)?)
        .try_collect()
        .await
}
