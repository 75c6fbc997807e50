//! How a run goes on that was paused.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::ACCEPT_ENCODING;
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{App, Error, Result};

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
pub struct Events {
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
    ) -> Result<Events> {
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
        let response = response.map_err(|_| Error::silent(&address, HEAD_MAX))??;
        if !response.status().is_success() {
            return Err(Error::refused(&address, response.status()));
        }
        Ok(Events {
            response,
            address,
            heard_at: Instant::now(),
            silence_max,
        })
    }
}

impl Events {
    /// The next piece; `None` at the stream's end. A call that is given up loses nothing, and does
    /// not make silence shorter.
    ///
    /// # Errors
    /// When the stream breaks off or falls silent; nothing more comes then.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let silent_at = self.heard_at + self.silence_max;
        match timeout_at(silent_at, self.response.chunk()).await {
            Ok(Ok(piece)) => {
                self.heard_at = Instant::now();
                Ok(piece)
            }
            Ok(Err(error)) => Err(Error::broken_off(&self.address, error)),
            Err(_) => Err(Error::silent(&self.address, self.silence_max)),
        }
    }
}
