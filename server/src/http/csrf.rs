//! Requests that another site makes a signed-in browser send are refused.

use axum::extract::Request;
use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

/// Whether a request may pass: one that may change something only if it does not carry the session
/// cookie, or the browser says that it comes from this site.
pub fn allows(request: &Request, public_url: Option<&str>) -> bool {
    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let headers = request.headers();
    is_safe || !carries_session(headers) || is_same_site(headers, public_url)
}

fn carries_session(headers: &HeaderMap) -> bool {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .any(|cookie| {
            cookie
                .trim_start()
                .strip_prefix(app::auth::COOKIE_NAME)
                .is_some_and(|rest| rest.starts_with('='))
        })
}

fn is_same_site(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // What the browser itself says, out of a page's reach.
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(ORIGIN).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    (host.is_some() && host == text(HOST.as_str())) || public_url == Some(origin)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_this_site_may_use_the_session() {
        let public = Some("https://tollgate.example");
        for (pairs, expected) in [
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            // The browser's word counts more than an origin.
            (
                vec![
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://127.0.0.1:3000"),
                    ("host", "127.0.0.1:3000"),
                ],
                false,
            ),
            (
                vec![
                    ("origin", "http://127.0.0.1:3000"),
                    ("host", "127.0.0.1:3000"),
                ],
                true,
            ),
            (
                vec![
                    ("origin", "http://evil.example"),
                    ("host", "127.0.0.1:3000"),
                ],
                false,
            ),
            // Behind a proxy the host may be another than the one people see.
            (
                vec![
                    ("origin", "https://tollgate.example"),
                    ("host", "10.0.0.1:3000"),
                ],
                true,
            ),
            (vec![("origin", "null"), ("host", "127.0.0.1:3000")], false),
            (vec![("host", "127.0.0.1:3000")], false),
            (vec![], false),
        ] {
            assert_eq!(
                is_same_site(&headers(&pairs), public),
                expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        for (cookie, expected) in [
            ("tollgate_session=x", true),
            ("lang=zh; tollgate_session=x", true),
            ("tollgate_session_other=x", false),
            ("lang=tollgate_session", false),
        ] {
            assert_eq!(carries_session(&headers(&[("cookie", cookie)])), expected);
        }
    }
}
