//! Sessions as browsers and user tokens present them.

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse as _;
use axum_extra::extract::cookie::{Cookie, SameSite, SignedCookieJar};
use ledger::Visitor;
use shared::clock::Timestamp;
use time::OffsetDateTime;

use crate::Access;
use crate::credential::bearer;

/// The session cookie; signed, so that guessing costs a valid signature before it costs a query.
pub const COOKIE_NAME: &str = "tollgate_session";

/// A link that, opened in a browser, turns a user token into the session cookie.
#[must_use]
pub fn sign_in_link(base_url: &str, token: &str) -> String {
    format!("{base_url}/enter?token={token}")
}

impl Access {
    /// The session token of the signed cookie, or else of `Authorization: Bearer …`.
    #[must_use]
    pub fn session_token(&self, headers: &HeaderMap) -> Option<String> {
        let cookie =
            SignedCookieJar::from_headers(headers, self.cookie_key.clone()).get(COOKIE_NAME);
        cookie
            .map(|cookie| cookie.value().to_owned())
            .or_else(|| bearer(headers).map(str::to_owned))
    }

    /// Whose session it is; `None` for nobody, and for a session that has ended.
    ///
    /// # Errors
    /// Whatever keeps the ledger from answering.
    pub async fn visitor(&self, headers: &HeaderMap) -> ledger::Result<Option<Visitor>> {
        match self.session_token(headers) {
            Some(token) => Box::pin(self.ledger.visitor(&token)).await,
            None => Ok(None),
        }
    }

    /// The `Set-Cookie` value that signs a browser in until `expires_at`.
    #[must_use]
    pub fn session_cookie(&self, token: String, expires_at: Timestamp) -> Option<HeaderValue> {
        let cookie = Cookie::build((COOKIE_NAME, token))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_behind_tls())
            .expires(expires_at.moment())
            .build();
        let jar = SignedCookieJar::new(self.cookie_key.clone()).add(cookie);
        jar.into_response().headers().get(SET_COOKIE).cloned()
    }

    /// The `Set-Cookie` value that makes a browser forget its session.
    #[must_use]
    pub fn expired_cookie(&self) -> Option<HeaderValue> {
        self.session_cookie(String::new(), Timestamp::from(OffsetDateTime::UNIX_EPOCH))
    }

    fn is_behind_tls(&self) -> bool {
        let url = self.public_url.as_deref();
        url.is_some_and(|url| url.starts_with("https://"))
    }
}
