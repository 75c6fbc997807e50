//! What the server lends to whoever renders a page or answers a call.

use std::pin::Pin;
use std::sync::Arc;

use axum_extra::extract::cookie::Key;
use ledger::{ApiKey, Ledger};
use shared::clock::Timestamp;

/// Asks Dify what the app behind a gateway source has served since then, and compares it with what
/// arrived. What came of it stands in the ledger, also when Dify could not be asked.
pub type CheckServed = Arc<dyn Fn(Arc<ApiKey>, Timestamp) -> Checking + Send + Sync>;

/// A check under way.
pub type Checking = Pin<Box<dyn Future<Output = ledger::Result<()>> + Send>>;

/// What server functions need; the server provides it as context for rendering and for calls.
#[derive(Clone)]
pub struct AppContext {
    pub ledger: Ledger,
    pub check_served: CheckServed,
    /// Signs the session cookie.
    pub cookie_key: Key,
    /// Whether cookies are marked `Secure`, which they are behind TLS.
    pub secure_cookies: bool,
    /// Where an end user buys points; without it they are told to ask the operator.
    pub recharge_url: Option<String>,
}
