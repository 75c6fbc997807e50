//! How a run goes on that was paused.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::ACCEPT_ENCODING;
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{App, AskError};

/// A person waits for it when a form is submitted.
const HEAD_MAX: Duration = Duration::from_secs(5);

/// What a stream of events begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// What is still to come.
    New,
    /// Those nodes before it that are known. Of a run that is still paused Dify then tells just that,
    /// of one that has ended its total.
    State,
}

/// The bytes of a stream of server-sent events.
pub struct RunEvents {
    response: Response,
    address: Url,
    heard_at: Instant,
    silence_max: Duration,
}

impl App {
    /// The events of a run, whose user is named as Dify knows them: there, blanks around the name are
    /// part of it. `silence_max` bounds how long nothing may come.
    ///
    /// # Errors
    /// When Dify does not begin to answer within 5 seconds, or refuses.
    pub async fn run_events(
        &self,
        run: &str,
        user: &str,
        show: Show,
        silence_max: Duration,
    ) -> Result<RunEvents, AskError> {
        let mut address = self.address(&["workflow", run, "events"])?;
        address.query_pairs_mut().append_pair("user", user);
        if show == Show::State {
            address
                .query_pairs_mut()
                .append_pair("include_state_snapshot", "true");
        }
        let request = self.http.get(address.clone());
        let request = request.header(ACCEPT_ENCODING, "identity");
        let response = timeout(HEAD_MAX, self.send(request, &address)).await;
        let response = response.map_err(|_| AskError::silent(&address, HEAD_MAX))??;
        if !response.status().is_success() {
            return Err(AskError::refused(&address, response.status()));
        }
        Ok(RunEvents {
            response,
            address,
            heard_at: Instant::now(),
            silence_max,
        })
    }
}

impl RunEvents {
    /// The next piece; `None` at the stream's end. A call that is given up loses nothing, and does
    /// not make silence shorter.
    ///
    /// # Errors
    /// When the stream breaks off or falls silent; nothing more comes then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AskError> {
        let silent_at = self.heard_at + self.silence_max;
        match timeout_at(silent_at, self.response.chunk()).await {
            Ok(Ok(piece)) => {
                self.heard_at = Instant::now();
                Ok(piece)
            }
            Ok(Err(error)) => Err(AskError::broken_off(&self.address, error)),
            Err(_) => Err(AskError::silent(&self.address, self.silence_max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use futures::{StreamExt as _, stream};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Dify, connections};

    #[tokio::test]
    async fn silence_is_measured_from_what_came_last() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let events = async || {
            let one = stream::iter([Ok::<_, std::io::Error>("data: {}\n\n")]);
            Body::from_stream(one.chain(stream::pending()))
        };
        let routes = Router::new().route("/v1/workflow/run/events", get(events));
        tokio::spawn(async move { axum::serve(listener, routes).await });

        let app = Dify::new(connections().expect("connections"))
            .app(&format!("http://{address}/v1"), "key");
        let app = app.expect("an address");
        let silence_max = Duration::from_millis(500);
        let events = app.run_events("run", "ann", Show::New, silence_max).await;
        let mut events = events.expect("a stream");
        let piece = events.next().await.expect("a piece");
        assert_eq!(piece.as_deref(), Some(&b"data: {}\n\n"[..]));
        let begun = Instant::now();
        // Looking away in between does not begin anew.
        while let Err(_waiting) = timeout(Duration::from_millis(50), events.next()).await {
            assert!(begun.elapsed() < Duration::from_secs(10), "it never ends");
        }
        assert!(matches!(events.next().await, Err(AskError::Silent { .. })));

        let missing = app
            .run_events("other", "ann", Show::State, silence_max)
            .await;
        assert!(matches!(missing, Err(AskError::Refused { .. })));
    }
}
