//! A metered call: check, hold, pass through, read a copy, charge.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use ledger::{ApiKey, CallEstimate, Delivery, Entrance, Ledger};
use reqwest::Request;
use shared::dify::{Asked, Meter, Text};
use shared::ids::UserId;
use shared::problem::Problem;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::address::Kind;
use super::denial::Denial;
use super::head;
use crate::http::Http;
use crate::http::upstream::{self, Fault};

/// Points are held for as long as Dify lets a run take.
const HOLD_SECONDS: u32 = 1200;
/// Pieces of an answer between Dify and a client that reads more slowly than Dify writes. When they
/// are full, Dify waits.
const CHUNKS_AHEAD_MAX: usize = 16;
/// A client that reads nothing for so long counts as gone.
const CLIENT_STALL_MAX: Duration = Duration::from_secs(120);
/// A server that stops reads on for so long: less than it waits for its clients.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(8);
/// The end of a stream waits for the charge, so that whoever looks at the balance afterwards sees
/// it; but not for long.
const CHARGE_WAIT_MAX: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(250);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A delivery that fails for a reason of its own is not tried for ever.
const FAILURES_MAX: u32 = 10;

/// What a client gets of an answer: the error breaks its connection off, as Dify's was.
type Chunk = Result<Bytes, Fault>;

/// A call that somebody pays for.
pub(super) struct Call {
    http: Http,
    source: Arc<ApiKey>,
    kind: Kind,
    asked: Asked,
}

impl Call {
    pub(super) fn new(
        http: Http,
        source: Arc<ApiKey>,
        user_id: UserId,
        kind: Kind,
        text: Text,
    ) -> Self {
        let asked = Asked {
            user_id,
            assumed_model: source.settings.model_name.clone(),
            text,
            is_continuation: kind == Kind::Continued,
        };
        Self {
            http,
            source,
            kind,
            asked,
        }
    }

    /// Runs the call in a task of its own: what Dify has begun is metered to its end, also when the
    /// client has left.
    pub(super) async fn start(self, request: Request) -> Result<Response, Denial> {
        let (answer, answered) = oneshot::channel();
        let calls = self.http.0.calls.clone();
        calls.spawn(self.run(request, answer));
        answered.await.map_err(|_| Problem::Internal)?
    }

    async fn run(self, request: Request, answer: oneshot::Sender<Result<Response, Denial>>) {
        let hold = match self.admit().await {
            Ok(hold) => hold,
            Err(denial) => {
                drop(answer.send(Err(denial)));
                return;
            }
        };
        if answer.is_closed() {
            // The client left before anything has begun.
            return self.release(hold).await;
        }
        let response = match upstream::send(&self.http.0.upstream, request).await {
            Ok(response) => response,
            Err(fault) => {
                self.release(hold).await;
                drop(answer.send(Err(fault.into())));
                return;
            }
        };
        let (status, headers) = head(&response);
        let mut meter = self.meter(status, &headers);
        let (client, chunks) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let body = Body::from_stream(stream::unfold(chunks, async |mut chunks| {
            let chunk: Chunk = chunks.recv().await?;
            if chunk.is_err() {
                // What came before is sent first; an error at once would take it along.
                yield_now().await;
            }
            Some((chunk, chunks))
        }));
        drop(answer.send(Ok((status, headers, body).into_response())));
        let client = self.relay(response, client, &mut meter).await;
        let calls = self.http.0.calls.clone();
        let settled = calls.spawn(self.settle(meter, hold));
        drop(timeout(CHARGE_WAIT_MAX, settled).await);
        drop(client);
    }

    /// Asks whether the user can pay, and holds the points.
    async fn admit(&self) -> Result<Option<String>, Denial> {
        if self.kind != Kind::Charged {
            return Ok(None);
        }
        let settings = &self.source.settings;
        let estimate = CallEstimate {
            model_name: None,
            input_tokens: None,
            output_tokens: None,
            // Without, it is only checked.
            hold_seconds: (!settings.is_protecting_only).then_some(HOLD_SECONDS),
        };
        let ledger = self.http.ledger();
        let check = ledger.check_call(&self.asked.user_id, &self.source, &estimate, None);
        match check.await {
            Ok(check) if check.can_proceed => Ok(check.hold_id),
            Ok(check) => Err(Denial::TooExpensive {
                needed: check.estimated_points,
                available: check.available,
            }),
            Err(error) if settings.is_fail_open => {
                let source = &self.source.name;
                tracing::warn!(%error, source, "a call of {source} passed unchecked: {error}");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn release(&self, hold: Option<String>) {
        let Some(hold) = hold else {
            return;
        };
        let released = self.http.ledger().release_hold(&self.asked.user_id, &hold);
        if let Err(error) = released.await {
            tracing::warn!(%error, hold, "{hold} was not released and will run out: {error}");
        }
    }

    /// Reads what Dify answers, where that tells what was used. Refusals use nothing.
    fn meter(&self, status: StatusCode, headers: &HeaderMap) -> Option<Meter> {
        if !status.is_success() || self.source.settings.is_protecting_only {
            return None;
        }
        let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
        let source = &self.source.name;
        if text(CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            tracing::error!(
                source,
                "{source} compresses its answers: they cannot be metered"
            );
            return None;
        }
        let media_type = text(CONTENT_TYPE).unwrap_or_default();
        if media_type.starts_with("text/event-stream") {
            Some(Meter::stream())
        } else {
            Some(Meter::answer())
        }
    }

    /// Passes the answer on and lets the meter read a copy, until the answer ends, or the server has
    /// to. Gives the client back if it is still there.
    async fn relay(
        &self,
        response: reqwest::Response,
        client: mpsc::Sender<Chunk>,
        meter: &mut Option<Meter>,
    ) -> Option<mpsc::Sender<Chunk>> {
        let shutdown = self.http.0.shutdown.clone();
        let mut end = Box::pin(async move {
            shutdown.cancelled().await;
            sleep(SHUTDOWN_GRACE).await;
        });
        let mut chunks = upstream::chunks(response, self.http.0.upstream_silence_max);
        let mut client = Some(client);
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                () = &mut end => return None,
            };
            let Some(chunk) = chunk else {
                return client;
            };
            let is_last = chunk.is_err();
            if let Err(fault) = &chunk {
                let source = &self.source.name;
                tracing::warn!(%fault, source, "an answer of {source} ended early: {fault}");
            }
            let copy = chunk.as_ref().ok().cloned();
            if let Some(sender) = &client {
                let sent = tokio::select! {
                    sent = timeout(CLIENT_STALL_MAX, sender.send(chunk)) => sent,
                    () = &mut end => return None,
                };
                if !matches!(sent, Ok(Ok(()))) {
                    client = None;
                }
            }
            match (&mut *meter, copy) {
                (Some(meter), Some(bytes)) => meter.read(&bytes),
                // Nobody is interested in the rest.
                (None, _) if client.is_none() => return None,
                _ => {}
            }
            if is_last {
                return client;
            }
        }
    }

    /// Charges what was seen, and frees the hold.
    async fn settle(self, meter: Option<Meter>, hold: Option<String>) {
        let Some(message) = meter.and_then(|meter| meter.report(&self.asked)) else {
            return self.release(hold).await;
        };
        let message_id = message.message_id.clone();
        let body = serde_json::to_vec(&message).unwrap_or_default();
        let mut delivery = Delivery::new(
            Arc::clone(&self.source),
            Entrance::Gateway,
            message,
            body,
            OffsetDateTime::now_utc().into(),
        );
        delivery.continues = self.asked.is_continuation;
        deliver(self.http.ledger(), delivery, hold.as_deref(), &message_id).await;
    }
}

/// Delivers, again and again while the ledger is away.
async fn deliver(ledger: &Ledger, delivery: Delivery, hold: Option<&str>, message_id: &str) {
    let mut pause = RETRY_PAUSE_MIN;
    let mut failures = 0;
    loop {
        let delivered = match hold {
            Some(hold) => ledger.settle_hold(hold, delivery.clone()).await,
            None => ledger.deliver(delivery.clone()).await,
        };
        let Err(error) = delivered else {
            return;
        };
        match error.problem() {
            Problem::Busy { .. } => {}
            Problem::Internal if failures < FAILURES_MAX => failures += 1,
            _ => {
                tracing::error!(%error, message_id, "{message_id} was not charged: {error}");
                return;
            }
        }
        tracing::warn!(%error, message_id, "{message_id} is not charged yet: {error}");
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}
