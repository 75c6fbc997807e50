//! The visitor's session, which the whole app shares.

use leptos::prelude::*;

use crate::api::query::{Query, QueryAnswer, QueryResource, use_query};
use crate::api::session::Session;
use crate::error::AppError;

#[derive(Clone, Copy)]
pub struct SharedSession(QueryResource);

/// Provides [`use_session`].
pub fn provide_session() {
    provide_context(SharedSession(use_query(|| Query::Session)));
}

/// Who is signed in. `None` outside the app.
#[must_use]
pub fn use_session() -> Option<SharedSession> {
    use_context()
}

impl SharedSession {
    /// Waits for the answer; only inside something that waits, such as `awaited`.
    ///
    /// # Errors
    /// Whatever kept the server from answering.
    pub async fn get(self) -> Result<Session, AppError> {
        Ok(match self.0.await? {
            QueryAnswer::Session(session) => session,
            _ => Session::Nobody,
        })
    }
}
