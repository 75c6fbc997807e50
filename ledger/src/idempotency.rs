//! Requests that their sender may repeat: the first one that succeeds is done, the others get its
//! answer. A key and what is done under it are committed together.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::ids::checked_id;
use shared::problem::Problem;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, Row};

use crate::chain::Hash;
use crate::error::{BUSY, Error, Result};

/// What a sender calls one request, to recognise its repetitions by.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    caller: String,
    key: String,
}

impl IdempotencyKey {
    /// `caller` keeps the keys of two senders apart.
    ///
    /// # Errors
    /// A field problem for `Idempotency-Key`: as other names, 1 to 255 characters, none of control.
    pub fn new(caller: impl Into<String>, key: &str) -> std::result::Result<Self, Problem> {
        Ok(Self {
            caller: caller.into(),
            key: checked_id(key)
                .map_err(|fault| Problem::field("Idempotency-Key", fault))?
                .to_owned(),
        })
    }
}

/// Takes the key for this transaction, which must not hold a lock yet: whoever comes second waits
/// here until the first has ended. `Some` is the answer to the first.
///
/// # Errors
/// `KeyReused` when the first request was another one.
pub(crate) async fn claim<T: DeserializeOwned>(
    tx: &mut PgConnection,
    key: Option<&IdempotencyKey>,
    fingerprint: &Hash,
) -> Result<Option<T>> {
    let Some(key) = key else {
        return Ok(None);
    };
    let claimed = sqlx::query(
        "insert into idempotency (caller, idempotency_key, fingerprint) values ($1, $2, $3)
         on conflict do nothing",
    )
    .bind(&key.caller)
    .bind(&key.key)
    .bind(fingerprint.as_slice())
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if claimed == 1 {
        return Ok(None);
    }
    match recall(tx, Some(key), fingerprint).await? {
        Some(answer) => Ok(Some(answer)),
        // It was forgotten between the two statements.
        None => Err(BUSY.into()),
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
) -> Result<Option<T>> {
    let Some(key) = key else {
        return Ok(None);
    };
    let row = sqlx::query(
        "select fingerprint, answer from idempotency where caller = $1 and idempotency_key = $2",
    )
    .bind(&key.caller)
    .bind(&key.key)
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    if row.try_get::<&[u8], _>("fingerprint")? != fingerprint {
        return Err(Problem::KeyReused.into());
    }
    match row.try_get::<Option<Json<T>>, _>("answer")? {
        Some(Json(answer)) => Ok(Some(answer)),
        None => Err(Error::corrupt("a request that was done and left no answer")),
    }
}

/// Keeps the answer under the key that this transaction has claimed.
pub(crate) async fn keep(
    tx: &mut PgConnection,
    key: Option<&IdempotencyKey>,
    answer: &(impl Serialize + Sync),
) -> Result<()> {
    let Some(key) = key else {
        return Ok(());
    };
    sqlx::query("update idempotency set answer = $3 where caller = $1 and idempotency_key = $2")
        .bind(&key.caller)
        .bind(&key.key)
        .bind(Json(answer))
        .execute(tx)
        .await?;
    Ok(())
}

/// Gives up the key that this transaction has claimed: nothing was done that must not be repeated.
pub(crate) async fn leave(tx: &mut PgConnection, key: Option<&IdempotencyKey>) -> Result<()> {
    let Some(key) = key else {
        return Ok(());
    };
    sqlx::query("delete from idempotency where caller = $1 and idempotency_key = $2")
        .bind(&key.caller)
        .bind(&key.key)
        .execute(tx)
        .await?;
    Ok(())
}
