use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::http::plumbing::state::Http;

/// Runs that one process follows at once.
const FOLLOWED_MAX: usize = 64;

/// What calls through the gateway share with those who follow paused runs.
#[derive(Clone)]
pub struct Gateway {
    pub(super) http: Http,
    /// So many more paused runs may be followed at once.
    pub(super) followers: Arc<Semaphore>,
}

impl Gateway {
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self {
            http,
            followers: Arc::new(Semaphore::new(FOLLOWED_MAX)),
        }
    }
}
