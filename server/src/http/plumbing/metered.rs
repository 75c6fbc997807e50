//! What every entrance does that passes calls on and charges them: relay the answer and read it, free
//! the hold or charge, whatever becomes of the client.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use ledger::{Delivery, Ledger, OperationError};
use shared::ids::UserId;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::state::Http;
use super::upstream::{self, UpstreamFault};

/// Pieces of an answer between the server and a client that reads more slowly than it writes. When
/// they are full, the server waits.
const CHUNKS_AHEAD_MAX: usize = 16;
/// A client that reads nothing for so long counts as gone.
const CLIENT_STALL_MAX: Duration = Duration::from_secs(120);
/// A server that stops reads on for so long: less than it waits for its clients.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(8);
/// The end of a stream waits for the charge, so that whoever looks at the balance afterwards sees
/// it; but not for long.
pub const CHARGE_WAIT_MAX: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(250);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A delivery that fails for a reason of its own is not tried for ever.
const FAILURES_MAX: u32 = 10;

/// What a client gets of an answer: the error breaks its connection off, as the server's was.
pub type RelayChunk = Result<Bytes, UpstreamFault>;

/// The client's end of an answer, until it goes.
pub type ClientEnd = mpsc::Sender<RelayChunk>;

/// A body that is written piece by piece.
pub fn channel() -> (ClientEnd, Body) {
    let (client, chunks) = mpsc::channel(CHUNKS_AHEAD_MAX);
    let body = Body::from_stream(stream::unfold(chunks, async |mut chunks| {
        let chunk: RelayChunk = chunks.recv().await?;
        if chunk.is_err() {
            // What came before is sent first; an error at once would take it along.
            yield_now().await;
        }
        Some((chunk, chunks))
    }));
    (client, body)
}

/// How far an answer came.
pub struct Relayed {
    /// If it is still there.
    pub client: Option<ClientEnd>,
    /// It came to its end.
    pub is_complete: bool,
}

/// Passes an answer on, each piece as `read` returns it, until the answer ends, or this server has
/// to. A metered one is read to its end when the client has left, too.
pub async fn relay(
    http: &Http,
    source: &str,
    response: reqwest::Response,
    mut client: Option<ClientEnd>,
    is_metered: bool,
    mut read: impl FnMut(Bytes) -> Bytes,
) -> Relayed {
    let shutdown = http.0.shutdown.clone();
    let mut end = Box::pin(async move {
        shutdown.cancelled().await;
        sleep(SHUTDOWN_GRACE).await;
    });
    let mut chunks = upstream::chunks(response, http.0.upstream_silence_max);
    let gone = Relayed {
        client: None,
        is_complete: false,
    };
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            () = &mut end => return gone,
        };
        let Some(chunk) = chunk else {
            return Relayed {
                client,
                is_complete: true,
            };
        };
        let is_last = chunk.is_err();
        if let Err(fault) = &chunk {
            tracing::warn!(%fault, source, "an answer of {source} ended early: {fault}");
        }
        let chunk = chunk.map(&mut read);
        // A piece may be held back whole; an empty one would end the body.
        let is_empty = chunk.as_ref().is_ok_and(Bytes::is_empty);
        if let Some(sender) = client.as_ref().filter(|_| !is_empty) {
            let sent = tokio::select! {
                sent = timeout(CLIENT_STALL_MAX, sender.send(chunk)) => sent,
                () = &mut end => return gone,
            };
            if !matches!(sent, Ok(Ok(()))) {
                client = None;
            }
        }
        // Nobody is interested in the rest.
        if is_last || (client.is_none() && !is_metered) {
            return Relayed {
                client,
                is_complete: false,
            };
        }
    }
}

/// Frees what was held for a call that used nothing.
pub async fn release(ledger: &Ledger, user: &UserId, hold: Option<&str>) {
    let Some(hold) = hold else {
        return;
    };
    if let Err(error) = ledger.release_hold(user, hold).await {
        tracing::warn!(%error, hold, "{hold} was not released and will run out: {error}");
    }
}

/// Delivers, again and again while the ledger is away.
pub async fn deliver(ledger: &Ledger, delivery: Delivery) {
    let message_id = delivery.message.message_id.as_str();
    let mut pause = RETRY_PAUSE_MIN;
    let mut failures = 0;
    loop {
        let Err(error) = ledger.deliver(delivery.clone()).await else {
            return;
        };
        match &error {
            OperationError::Failed(error) if error.is_passing() => {}
            OperationError::Failed(_) if failures < FAILURES_MAX => failures += 1,
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
