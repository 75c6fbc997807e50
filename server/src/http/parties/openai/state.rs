use std::sync::Arc;

use super::end_users::EndUsers;
use crate::http::plumbing::state::Http;

/// What calls of models share.
#[derive(Clone)]
pub struct Openai {
    pub http: Http,
    /// Whom Dify's own ids of end users mean.
    pub end_users: Arc<EndUsers>,
}

impl Openai {
    pub fn new(http: Http) -> Self {
        Self {
            http,
            end_users: Arc::default(),
        }
    }
}
