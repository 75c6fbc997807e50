use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::Extensions;

/// The address a request came from, for the audit and the limit on failed sign-ins. The server
/// must serve with its clients' addresses.
#[must_use]
pub fn origin(request: &Extensions) -> String {
    let peer = request.get::<ConnectInfo<SocketAddr>>();
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.0.ip().to_string())
}
