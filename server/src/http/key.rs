//! API keys as they are presented: `Authorization: Bearer …` or `X-API-Key: …`.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use ledger::{ApiKey, Ledger, Scope};
use shared::problem::Problem;

use super::answer::Refusal;

/// The credential of a request, if it has one.
#[must_use]
pub fn presented(headers: &HeaderMap) -> Option<&str> {
    let api_key = headers.get("x-api-key").and_then(|it| it.to_str().ok());
    api_key.or_else(|| bearer(headers)).map(str::trim)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential)
}

/// The key of a request, whatever its scope.
///
/// # Errors
/// `MissingKey`, `InvalidKey`.
pub async fn authenticate(ledger: &Ledger, headers: &HeaderMap) -> Result<Arc<ApiKey>, Refusal> {
    let presented = presented(headers).ok_or(Problem::MissingKey)?;
    match ledger.authenticate_key(presented).await? {
        Some(key) => Ok(key),
        None => Err(Problem::InvalidKey.into()),
    }
}

/// Whether a key may do what needs a scope. An admin key may do everything.
///
/// # Errors
/// `WrongScope`.
pub fn check_scope(key: &ApiKey, needed: Scope) -> Result<(), Problem> {
    if key.scope == needed || key.scope == Scope::Admin {
        Ok(())
    } else {
        Err(Problem::WrongScope {
            needed: needed.as_str().to_owned(),
        })
    }
}

/// The key that was presented at the entrance of a source. When nobody can be asked, one that was
/// seen before opens a source that fails open.
///
/// # Errors
/// `Busy` when nobody can be asked.
pub async fn source(ledger: &Ledger, presented: &str) -> ledger::Result<Option<Arc<ApiKey>>> {
    let asked = ledger.authenticate_key(presented).await;
    match &asked {
        Err(error) if matches!(error.problem(), Problem::Busy { .. }) => {
            let remembered = ledger.remembered_key(presented);
            let opens = |key: &Arc<ApiKey>| key.settings.is_fail_open;
            remembered.filter(opens).map(Some).map_or(asked, Ok)
        }
        _ => asked,
    }
}

/// Whether a key is that of a source with the entrance that is asked. An admin key is not: a call
/// through an entrance belongs to the source whose settings it follows.
///
/// # Errors
/// `WrongScope`.
pub fn check_source(key: &ApiKey, entrance: Scope) -> Result<(), Problem> {
    if key.scope == entrance {
        Ok(())
    } else {
        Err(Problem::WrongScope {
            needed: entrance.as_str().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn a_key_comes_in_either_header() {
        let key = |pairs: &[_]| presented(&headers(pairs)).map(str::to_owned);
        assert_eq!(
            key(&[("authorization", "Bearer abc")]).as_deref(),
            Some("abc")
        );
        assert_eq!(
            key(&[("authorization", "bearer  abc ")]).as_deref(),
            Some("abc")
        );
        assert_eq!(key(&[("x-api-key", "abc")]).as_deref(), Some("abc"));
        assert_eq!(
            key(&[("x-api-key", "abc"), ("authorization", "Basic eA==")]).as_deref(),
            Some("abc")
        );
        assert_eq!(key(&[("authorization", "Basic eA==")]), None);
        assert_eq!(key(&[("authorization", "Bearer")]), None);
        assert_eq!(key(&[]), None);
    }
}
