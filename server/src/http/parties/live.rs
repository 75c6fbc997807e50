//! `GET /api/admin/live`: deliveries as they happen, as server-sent events. Each event's id is a
//! cursor, so a client that lost its connection goes on where it was, without gap or repeat.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use ledger::Ledger;
use shared::api::{LiveEvent, LiveQuery};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::Parameters;
use crate::http::plumbing::state::Http;

/// Events fetched at once; a slow reader holds no more than these in memory.
const PAGE_EVENTS: u32 = 100;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a client should connect again.
const RETRY: Duration = Duration::from_secs(2);
/// How often the right to see the feed is checked.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Between two looks when nothing is told: another process may have ended before it could tell.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at least: what many transactions add in this time is read at once.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How soon to look again when a running transaction holds events back.
const HELD_BACK: Duration = Duration::from_millis(50);

/// Without `Last-Event-ID` or `after`, the stream begins with what comes next.
pub async fn stream(
    State(http): State<Http>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    http.access().administrator(&headers).await?;
    let query: LiveQuery = parameters.read()?;
    let last_event_id = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
        .map(str::to_owned);
    let ledger = http.ledger();
    // Subscribed before the first look, so that nothing falls in between.
    let signal = ledger.live_signal();
    // A browser that reconnects keeps the address it began with, so what it saw last counts more.
    let mut feed = match last_event_id.or(query.after) {
        Some(cursor) => {
            let page = ledger.live_after(&cursor, PAGE_EVENTS).await?;
            FeedStream::new(ledger.clone(), signal, page.cursor, page.events)
        }
        None => {
            let page = ledger.live_latest(1).await?;
            FeedStream::new(ledger.clone(), signal, page.cursor, Vec::new())
        }
    };
    feed.has_more = true;
    let still_allowed = move |http: Http, headers: HeaderMap| async move {
        http.access().administrator(&headers).await.is_ok()
    };
    let shutdown = http.0.shutdown.clone();
    let events = feed
        .events(move || still_allowed(http.clone(), headers.clone()))
        .take_until(shutdown.cancelled_owned());
    let retry = stream::once(async { Ok(Event::default().retry(RETRY)) });
    let answer = Sse::new(retry.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that collects the answer would make it anything but live.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(([unbuffered], answer).into_response())
}

struct FeedStream {
    ledger: Ledger,
    signal: watch::Receiver<()>,
    cursor: String,
    waiting: VecDeque<LiveEvent>,
    has_more: bool,
    is_held_back: bool,
    check_at: Instant,
    /// Not before then.
    look_at: Instant,
}

impl FeedStream {
    fn new(
        ledger: Ledger,
        signal: watch::Receiver<()>,
        cursor: String,
        events: Vec<LiveEvent>,
    ) -> Self {
        Self {
            ledger,
            signal,
            cursor,
            waiting: events.into(),
            has_more: false,
            is_held_back: false,
            check_at: Instant::now() + CHECK_EVERY,
            look_at: Instant::now(),
        }
    }

    /// Ends when the reader may no longer see it or the ledger fails; the reader then comes again.
    fn events<F: Future<Output = bool> + Send>(
        self,
        still_allowed: impl Fn() -> F + Send,
    ) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        stream::unfold(
            (self, still_allowed),
            |(mut feed, still_allowed)| async move {
                loop {
                    if let Some(event) = feed.waiting.pop_front() {
                        return Some((Ok(written(&event)), (feed, still_allowed)));
                    }
                    if Instant::now() >= feed.check_at {
                        if !still_allowed().await {
                            return None;
                        }
                        feed.check_at = Instant::now() + CHECK_EVERY;
                    } else if !feed.has_more && !feed.wait().await {
                        return None;
                    }
                    if !feed.has_more {
                        sleep_until(feed.look_at).await;
                        feed.look_at = Instant::now() + LOOK_PAUSE;
                    }
                    // Marked as seen before looking: what comes during the look is looked at again.
                    feed.signal.mark_unchanged();
                    match feed.ledger.live_after(&feed.cursor, PAGE_EVENTS).await {
                        Ok(page) => {
                            feed.waiting = page.events.into();
                            feed.cursor = page.cursor;
                            feed.has_more = page.has_more;
                            feed.is_held_back = page.is_held_back;
                        }
                        Err(error) => {
                            tracing::error!(%error, "the live feed failed: {error}");
                            return None;
                        }
                    }
                }
            },
        )
    }

    /// Waits until there may be something new; `false` when there never will be.
    async fn wait(&mut self) -> bool {
        let held_back = async {
            match self.is_held_back {
                true => sleep(HELD_BACK).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.signal.changed() => changed.is_ok(),
            () = held_back => true,
            () = sleep(LOOK_EVERY) => true,
            () = sleep_until(self.check_at) => true,
        }
    }
}

fn written(event: &LiveEvent) -> Event {
    let named = Event::default().id(&event.cursor).event("delivery");
    // Writing these shapes as JSON cannot fail; were it to, the reader still sees that one came.
    named
        .clone()
        .json_data(event)
        .unwrap_or_else(|_| named.data("{}"))
}
