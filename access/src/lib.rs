//! Who is asking. A request presents a key (of an operator's back end, or of a source), a session
//! (of an administrator or a user, by cookie or as a bearer token), or nothing; and a browser says
//! whether it comes from this site. What is known of keys and sessions is asked of the ledger.

mod caller;
pub mod credential;
mod denial;
pub mod key;
mod origin;
mod session;
pub mod signature;
mod site;

use axum_extra::extract::cookie::Key;
use ledger::Ledger;

pub use caller::Caller;
pub use denial::Denial;
pub use origin::origin;
pub use session::{COOKIE_NAME, sign_in_link};
pub use site::Site;

/// What is needed to find out who is asking. Cheap enough to clone for each page.
#[derive(Clone)]
pub struct Access {
    ledger: Ledger,
    /// Signs the session cookie.
    cookie_key: Key,
    /// Where people reach this installation, if that was configured: without a slash at the end.
    public_url: Option<String>,
}

impl Access {
    #[must_use]
    pub const fn new(ledger: Ledger, cookie_key: Key, public_url: Option<String>) -> Self {
        Self {
            ledger,
            cookie_key,
            public_url,
        }
    }
}
