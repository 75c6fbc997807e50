//! The one client of Dify's Service API: what an app served, whom its ids of end users mean, and how
//! a run goes on. Calls that are merely passed on, byte for byte, are none of it; they share the
//! [`connections`].

mod connection;
mod error;
mod events;
mod lists;

use std::fmt;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use uuid::Uuid;

pub use connection::connections;
pub use error::AskError;
pub use events::{RunEvents, Show};
pub use lists::{ChatMessage, Conversation, ListPage, PAGE_ITEMS, WorkflowRun};

/// A call waits for whose id this is.
const END_USER_MAX: Duration = Duration::from_secs(5);

/// Asks Dify. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dify {
    http: reqwest::Client,
}

impl Dify {
    /// On [`connections`], or on others that follow no redirects either: each takes a key along.
    #[must_use]
    pub const fn new(http: reqwest::Client) -> Self {
        Self { http }
    }

    /// The app behind an address such as `https://dify.example.com/v1` that this key opens.
    ///
    /// # Errors
    /// [`AskError::NoAddress`].
    pub fn app(&self, address: &str, key: impl Into<String>) -> Result<App, AskError> {
        let no_address = || AskError::NoAddress(address.to_owned());
        let base: Url = address.parse().map_err(|_| no_address())?;
        if base.cannot_be_a_base() {
            return Err(no_address());
        }
        Ok(App {
            http: self.http.clone(),
            base,
            key: key.into(),
        })
    }
}

/// Somebody who uses an app.
#[derive(Deserialize)]
struct EndUser {
    /// The name by which the app's callers know them.
    session_id: Option<String>,
}

/// One app's API.
#[derive(Clone)]
pub struct App {
    http: reqwest::Client,
    base: Url,
    key: String,
}

/// Leaves the key out.
impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("App").field(&self.base.as_str()).finish()
    }
}

impl App {
    /// The name by which the app's callers know an end user, who is named here by Dify's own id.
    /// `None` for an id that is no user of this app, and of an app whose key was withdrawn: it
    /// answers for nobody any more.
    ///
    /// # Errors
    /// When Dify does not answer within 5 seconds, or something else.
    pub async fn end_user(&self, id: Uuid) -> Result<Option<String>, AskError> {
        let address = self.address(&["end-users", &id.to_string()])?;
        let request = self.http.get(address.clone()).timeout(END_USER_MAX);
        let response = self.send(request, &address).await?;
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
            status if status.is_success() => {
                let user: EndUser = read(response, &address).await?;
                Ok(user.session_id)
            }
            status => Err(AskError::refused(&address, status)),
        }
    }

    /// An address below that of the app; each part is one, whatever it contains.
    fn address(&self, parts: &[&str]) -> Result<Url, AskError> {
        let mut address = self.base.clone();
        match address.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(parts)),
            Err(()) => return Err(AskError::NoAddress(self.base.to_string())),
        }
        Ok(address)
    }

    async fn send(&self, request: RequestBuilder, address: &Url) -> Result<Response, AskError> {
        let sent = request.bearer_auth(&self.key).send().await;
        sent.map_err(|error| AskError::unreachable(address, error))
    }
}

async fn read<T: serde::de::DeserializeOwned>(
    response: Response,
    address: &Url,
) -> Result<T, AskError> {
    let read = response.json().await;
    read.map_err(|error| AskError::unreadable(address, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(address: &str) -> Result<App, AskError> {
        Dify::new(connections().expect("connections")).app(address, "app-secret")
    }

    #[test]
    fn each_part_of_an_address_stays_one() {
        for base in ["https://dify.example/v1", "https://dify.example/v1/"] {
            let app = app(base).expect("an address");
            let address = app.address(&["workflow", "a/../b?c", "events"]);
            assert_eq!(
                address.expect("an address").as_str(),
                "https://dify.example/v1/workflow/a%2F..%2Fb%3Fc/events"
            );
        }
        for base in ["", "dify.example", "mailto:dify@example"] {
            assert!(matches!(app(base), Err(AskError::NoAddress(_))), "{base}");
        }
    }

    #[test]
    fn neither_keys_nor_users_are_told() {
        let app = app("https://dify.example/v1").expect("an address");
        assert!(!format!("{app:?}").contains("secret"));
        let address = "https://dify.example/v1/messages?user=ann";
        let address = address.parse().expect("an address");
        let error = AskError::refused(&address, StatusCode::FORBIDDEN);
        assert_eq!(
            error.to_string(),
            "https://dify.example/v1/messages answers 403 Forbidden"
        );
    }
}
