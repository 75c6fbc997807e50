//! Whether a request comes from this site, or another one makes a browser send it.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

use crate::Access;
use crate::session::COOKIE_NAME;

/// Where a browser says that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// From this site, or from the address bar.
    This,
    Other,
    /// It does not say, or it is no browser.
    Untold,
}

impl Site {
    fn of(headers: &HeaderMap, public_url: Option<&str>) -> Self {
        // What the browser itself says, out of a page's reach. It says so only over TLS and to this
        // machine.
        if let Some(site) = headers.get("sec-fetch-site") {
            return if site == "same-origin" || site == "none" {
                Self::This
            } else {
                Self::Other
            };
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A form of a page that sends no referrer is sent from nowhere, too.
        let Some(origin) = text(ORIGIN).filter(|origin| *origin != "null") else {
            return Self::Untold;
        };
        let host = origin.split_once("://").map(|(_, host)| host);
        // Behind a proxy the host may be another than the one people see.
        if (host.is_some() && host == text(HOST)) || public_url == Some(origin) {
            Self::This
        } else {
            Self::Other
        }
    }
}

impl Access {
    /// Where a request comes from.
    #[must_use]
    pub fn site(&self, headers: &HeaderMap) -> Site {
        Site::of(headers, self.public_url.as_deref())
    }

    /// Whether a request may pass as far as another site may have made it: one that may change
    /// something only if it does not carry the session cookie, or comes from this site.
    #[must_use]
    pub fn allows(&self, method: &Method, headers: &HeaderMap) -> bool {
        let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        is_safe || !carries_session(headers) || self.site(headers) == Site::This
    }
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
                .strip_prefix(COOKIE_NAME)
                .is_some_and(|rest| rest.starts_with('='))
        })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::Site::{Other, This, Untold};
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
    fn browsers_say_where_a_request_comes_from() {
        let public = Some("https://tollgate.example");
        for (pairs, expected) in [
            (vec![("sec-fetch-site", "same-origin")], This),
            (vec![("sec-fetch-site", "none")], This),
            (vec![("sec-fetch-site", "same-site")], Other),
            (vec![("sec-fetch-site", "cross-site")], Other),
            // The browser's word counts more than an origin.
            (
                vec![
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://127.0.0.1:3000"),
                    ("host", "127.0.0.1:3000"),
                ],
                Other,
            ),
            (
                vec![
                    ("origin", "http://127.0.0.1:3000"),
                    ("host", "127.0.0.1:3000"),
                ],
                This,
            ),
            (
                vec![
                    ("origin", "http://evil.example"),
                    ("host", "127.0.0.1:3000"),
                ],
                Other,
            ),
            // Behind a proxy the host may be another than the one people see.
            (
                vec![
                    ("origin", "https://tollgate.example"),
                    ("host", "10.0.0.1:3000"),
                ],
                This,
            ),
            (vec![("origin", "null"), ("host", "127.0.0.1:3000")], Untold),
            (vec![("host", "127.0.0.1:3000")], Untold),
            (vec![], Untold),
        ] {
            assert_eq!(Site::of(&headers(&pairs), public), expected, "{pairs:?}");
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
