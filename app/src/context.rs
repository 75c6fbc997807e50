//! What the server lends to whoever renders a page or answers a call.

use std::pin::Pin;
use std::sync::Arc;

use access::Access;
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
    pub access: Access,
    /// Where an end user buys points; without it they are told to ask the operator.
    pub recharge_url: Option<String>,
}
