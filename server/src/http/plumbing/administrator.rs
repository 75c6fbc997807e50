use access::origin;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ledger::Actor;

use super::refusal::Refusal;
use super::state::Http;

/// Somebody who may do everything, as the audit names them.
pub struct Administrator(pub Actor);

impl FromRequestParts<Http> for Administrator {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Refusal> {
        let name = http.access().administrator(&parts.headers).await?;
        let origin = origin(&parts.extensions);
        Ok(Self(Actor { name, origin }))
    }
}
