use std::time::Duration;

use reqwest::redirect::Policy;

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Dify's workers close a connection that is idle for longer; one that is being closed must not be
/// used for a call, which could then not be repeated.
const POOL_IDLE_MAX: Duration = Duration::from_secs(4);

/// Connections to Dify and to what else stands behind Tollgate: no limit on how long an answer may
/// take, no redirects followed, nothing compressed or decompressed.
///
/// # Errors
/// When TLS cannot be set up.
pub fn connections() -> reqwest::Result<reqwest::Client> {
    let builder = || {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .pool_idle_timeout(POOL_IDLE_MAX)
            .redirect(Policy::none())
    };
    builder().build().or_else(|error| {
        // A machine without certificate authorities can still call servers by plain HTTP.
        tracing::warn!(%error, "servers behind sources cannot be called by https: {error}");
        builder().tls_certs_only([]).build()
    })
}
