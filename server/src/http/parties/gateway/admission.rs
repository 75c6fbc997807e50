//! Who calls which app: by a key that stands for the app, or as a user who names it.

use std::sync::Arc;

use access::Denial;
use access::{credential, key};
use axum::http::{HeaderMap, HeaderName};
use ledger::{ApiKey, Scope, Visitor};
use shared::ids::UserId;
use shared::problem::Problem;
use shared::source::SourceEntrance;

use super::error::DifyError;
use crate::http::plumbing::state::Http;

/// Names the source that a user's call goes to; needless where there is only one.
pub(super) const APP_HEADER: HeaderName = HeaderName::from_static("x-tollgate-app");
/// Becomes the id of a trace.
pub(super) const TRACE_HEADER: HeaderName = HeaderName::from_static("x-trace-id");

/// What a request may do.
pub(super) struct Admission {
    pub source: Arc<ApiKey>,
    /// Whom the request speaks for, where its credential says that.
    pub user: Option<UserId>,
}

impl Admission {
    /// `app` is the one that the address names.
    pub(super) async fn of(
        http: &Http,
        headers: &HeaderMap,
        app: Option<&str>,
    ) -> Result<Self, DifyError> {
        let header = headers.get(APP_HEADER);
        let header = header.and_then(|app| app.to_str().ok());
        let app = app.or(header);
        let ledger = http.ledger();
        let presented = credential::presented(headers);
        if let Some(presented) = presented
            && let Some(source) = key::known_source(ledger, presented).await?
        {
            return if source.scope != Scope::Entrance(SourceEntrance::Gateway) {
                Err(wrong_scope().into())
            } else if app.is_some_and(|app| app != source.name) {
                Err(Problem::NotFound.into())
            } else {
                Ok(Self { source, user: None })
            };
        }
        let visitor = match presented {
            Some(token) => ledger.visitor(token).await?,
            None => http.access().visitor(headers).await?,
        };
        match visitor {
            Some(Visitor::User(user)) => Ok(Self {
                source: ledger.gateway_source(app).await?,
                user: Some(user),
            }),
            // Whose points would they be?
            Some(Visitor::Administrator { .. }) => Err(wrong_scope().into()),
            None if presented.is_some() => Err(Denial::InvalidKey.into()),
            None => Err(Denial::MissingKey.into()),
        }
    }
}

const fn wrong_scope() -> Denial {
    Denial::WrongScope(Scope::Entrance(SourceEntrance::Gateway).as_str())
}
