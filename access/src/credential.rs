//! Credentials as they are presented: `Authorization: Bearer …`, `X-API-Key: …`, or, where Langfuse's
//! SDKs call, `Authorization: Basic …`.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The key or token of a request, if it has one.
#[must_use]
pub fn presented(headers: &HeaderMap) -> Option<&str> {
    let api_key = headers.get("x-api-key").and_then(|it| it.to_str().ok());
    api_key.map(str::trim).or_else(|| bearer(headers))
}

/// That of `Authorization: Bearer …`.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    authorization(headers, "bearer")
}

/// Name and password of `Authorization: Basic …`.
#[must_use]
pub fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = STANDARD.decode(authorization(headers, "basic")?).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (named, credential) = value.split_once(' ')?;
    named
        .eq_ignore_ascii_case(scheme)
        .then_some(credential.trim())
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

    #[test]
    fn a_pair_comes_encoded() {
        let pair = |value| basic(&headers(&[("authorization", value)]));
        let expected = Some(("pk".to_owned(), "s:k".to_owned()));
        assert_eq!(pair("Basic cGs6czpr"), expected);
        assert_eq!(pair("basic  cGs6czpr "), expected);
        for value in ["Bearer cGs6czpr", "Basic cGs=", "Basic ?", "Basic"] {
            assert_eq!(pair(value), None, "{value}");
        }
    }
}
