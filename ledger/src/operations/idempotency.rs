//! Requests that their sender may repeat: the first one that succeeds is done, the others get its
//! answer. A key and what is done under it are committed together.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::error::{Attempt, Error, Result, refusal};
use crate::records::hash::Hash;
use crate::records::idempotency_key::IdempotencyKey;
use crate::store::idempotency;

/// The key was used before, for another request. Nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyReused;

refusal!(KeyReused);

/// Takes the key for this transaction, which must not hold a lock yet: whoever comes second waits
/// here until the first has ended. `Some` is the answer to the first.
///
/// # Errors
/// [`KeyReused`] when the first request was another one.
pub(crate) async fn claim<T: DeserializeOwned>(
    tx: &mut PgConnection,
    key: Option<&IdempotencyKey>,
    fingerprint: &Hash,
) -> Attempt<Option<T>, KeyReused> {
    let Some(key) = key else {
        return Ok(None);
    };
    if idempotency::insert(&mut *tx, key, fingerprint).await? {
        return Ok(None);
    }
    match recall(tx, Some(key), fingerprint).await? {
        Some(answer) => Ok(Some(answer)),
        // It was forgotten between the two statements.
        None => Err(Error::Busy.into()),
    }
}

/// The answer under a key, without taking it.
///
/// # Errors
/// As [`claim`].
pub(crate) async fn recall<T: DeserializeOwned>(
    executor: impl PgExecutor<'_>,
    key: Option<&IdempotencyKey>,
    fingerprint: &Hash,
) -> Attempt<Option<T>, KeyReused> {
    let Some(key) = key else {
        return Ok(None);
    };
    let Some(first) = idempotency::find(executor, key).await? else {
        return Ok(None);
    };
    if first.fingerprint != *fingerprint {
        return Err(KeyReused.into());
    }
    let Some(Json(answer)) = first.answer else {
        return Err(Error::corrupt("a request that was done and left no answer").into());
    };
    serde_json::from_str(answer.get())
        .map(Some)
        .map_err(|_| Error::corrupt("the answer to a request").into())
}

/// Keeps the answer under the key that this transaction has claimed.
pub(crate) async fn keep(
    tx: &mut PgConnection,
    key: Option<&IdempotencyKey>,
    answer: &(impl Serialize + Sync),
) -> Result<()> {
    match key {
        Some(key) => idempotency::keep_answer(tx, key, answer).await,
        None => Ok(()),
    }
}

/// Gives up the key that this transaction has claimed: nothing was done that must not be repeated.
pub(crate) async fn leave(tx: &mut PgConnection, key: Option<&IdempotencyKey>) -> Result<()> {
    match key {
        Some(key) => idempotency::delete(tx, key).await,
        None => Ok(()),
    }
}
