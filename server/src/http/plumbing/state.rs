//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use access::Access;
use app::AppContext;
use axum::extract::FromRef;
use ledger::Ledger;
use leptos::config::LeptosOptions;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct Http(pub(crate) Arc<HttpState>);

/// The parts of [`Http`].
pub struct HttpState {
    pub context: AppContext,
    pub leptos: LeptosOptions,
    /// Where people reach this server.
    pub base_url: String,
    /// Cancelled when the server is about to stop; answers that would never end, end.
    pub shutdown: CancellationToken,
    /// Calls the servers behind sources.
    pub upstream: reqwest::Client,
    /// Asks Dify; on the connections of `upstream`.
    pub dify: dify_client::Dify,
    /// How long such a server may be silent in the middle of an answer.
    pub upstream_silence_max: Duration,
    /// Metered calls: they go on when the client has left, and the server waits for them to be
    /// charged before it stops.
    pub calls: TaskTracker,
}

impl Http {
    #[must_use]
    pub fn new(shared: HttpState) -> Self {
        Self(Arc::new(shared))
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.context.ledger
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.context.access
    }
}

impl FromRef<Http> for Ledger {
    fn from_ref(http: &Http) -> Self {
        http.ledger().clone()
    }
}

impl FromRef<Http> for AppContext {
    fn from_ref(http: &Http) -> Self {
        http.0.context.clone()
    }
}

impl FromRef<Http> for LeptosOptions {
    fn from_ref(http: &Http) -> Self {
        http.0.leptos.clone()
    }
}
