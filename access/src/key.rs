//! API keys, and what each may do.

use std::sync::Arc;

use axum::http::HeaderMap;
use ledger::{ApiKey, Ledger, Scope};

use crate::Denial;
use crate::credential::presented;

/// The key of a request, whatever its scope.
///
/// # Errors
/// [`Denial::MissingKey`], [`Denial::InvalidKey`].
pub async fn authenticate(ledger: &Ledger, headers: &HeaderMap) -> Result<Arc<ApiKey>, Denial> {
    let presented = presented(headers).ok_or(Denial::MissingKey)?;
    let key = ledger.authenticate_key(presented).await?;
    key.ok_or(Denial::InvalidKey)
}

/// Whether a key may do what needs a scope. An admin key may do everything.
///
/// # Errors
/// [`Denial::WrongScope`].
pub fn check_scope(key: &ApiKey, needed: Scope) -> Result<(), Denial> {
    if key.scope == needed || key.scope == Scope::Admin {
        Ok(())
    } else {
        Err(Denial::WrongScope(needed.as_str()))
    }
}

/// The key that was presented at the entrance of a source. When nobody can be asked, one that was
/// seen before opens a source that fails open.
///
/// # Errors
/// Whatever keeps the ledger from answering.
pub async fn known_source(ledger: &Ledger, presented: &str) -> ledger::Result<Option<Arc<ApiKey>>> {
    let asked = ledger.authenticate_key(presented).await;
    match &asked {
        Err(error) if error.is_passing() => {
            let remembered = ledger.remembered_key(presented);
            let opens = |key: &Arc<ApiKey>| key.settings.is_fail_open;
            remembered.filter(opens).map(Some).map_or(asked, Ok)
        }
        _ => asked,
    }
}

/// The source whose key a request presents, which must be of this entrance. An admin key is not: a
/// call through an entrance belongs to the source whose settings it follows.
///
/// # Errors
/// [`Denial::MissingKey`], [`Denial::InvalidKey`], [`Denial::WrongScope`].
pub async fn source(
    ledger: &Ledger,
    headers: &HeaderMap,
    entrance: Scope,
) -> Result<Arc<ApiKey>, Denial> {
    let presented = presented(headers).ok_or(Denial::MissingKey)?;
    let key = known_source(ledger, presented).await?;
    let key = key.ok_or(Denial::InvalidKey)?;
    if key.scope == entrance {
        Ok(key)
    } else {
        Err(Denial::WrongScope(entrance.as_str()))
    }
}
