//! Whom Dify means: it names its end users to model providers by ids of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dify_client::AskError;
use ledger::ApiKey;
use shared::ids::UserId;
use shared::problem::Problem;
use uuid::Uuid;

use super::error::ApiError;
use crate::http::plumbing::state::Http;

/// Dify never gives an end user another name.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// An id that no app knows may become known, when its app gets a gateway.
const UNKNOWN_FOR: Duration = Duration::from_secs(300);
const REMEMBERED_MAX: usize = 100_000;

/// What Dify has told of its end users, in this process.
#[derive(Default)]
pub struct EndUsers(Mutex<HashMap<(i64, Uuid), Remembered>>);

#[derive(Clone)]
struct Remembered {
    /// `None`: no app knows the id.
    name: Option<UserId>,
    until: Instant,
}

impl EndUsers {
    /// The user whom the text means: the one whose id of Dify's it is, or else the one whom it names.
    ///
    /// # Errors
    /// `UserUnknown` when Dify does not answer; a field problem for `user`.
    pub async fn named(&self, http: &Http, key: &ApiKey, user: &str) -> Result<UserId, ApiError> {
        let name = user.parse().map_err(|fault| Problem::field("user", fault));
        let Ok(id) = user.parse::<Uuid>() else {
            return Ok(name?);
        };
        let at = (key.namespace_id, id);
        let known = match self.recall(at) {
            Some(known) => known,
            None => {
                let found = ask(http, key, id).await?;
                self.remember(at, found.clone());
                found
            }
        };
        match known {
            Some(known) => Ok(known),
            None => Ok(name?),
        }
    }

    fn recall(&self, at: (i64, Uuid)) -> Option<Option<UserId>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = known.get(&at)?;
        (remembered.until > Instant::now()).then(|| remembered.name.clone())
    }

    fn remember(&self, at: (i64, Uuid), name: Option<UserId>) {
        let keep = if name.is_some() {
            KNOWN_FOR
        } else {
            UNKNOWN_FOR
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        let until = Instant::now() + keep;
        known.insert(at, Remembered { name, until });
    }
}

/// Asks each app of the namespace, since an app answers for its own users only.
async fn ask(http: &Http, key: &ApiKey, id: Uuid) -> Result<Option<UserId>, ApiError> {
    let apps = http.ledger().gateway_sources(key.namespace_id).await?;
    let mut is_certain = true;
    for app in apps {
        match ask_app(http, &app, id).await {
            Ok(Some(name)) => return Ok(Some(name)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(source = app.name, %error, "Dify does not tell who {id} is");
                is_certain = false;
            }
        }
    }
    // An app that did not answer may know the id; taking it for a name would charge a stranger.
    if is_certain {
        Ok(None)
    } else {
        Err(ApiError::UserUnknown)
    }
}

async fn ask_app(http: &Http, app: &ApiKey, id: Uuid) -> Result<Option<UserId>, AskError> {
    let (Some(address), Some(key)) = (&app.settings.upstream_url, &app.upstream_key) else {
        return Ok(None);
    };
    let name = http.0.dify.app(address, key)?.end_user(id).await?;
    Ok(name.and_then(|name| name.parse().ok()))
}
