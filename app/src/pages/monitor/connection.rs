//! The event stream. The browser's own reconnecting gives up after some errors, so whenever the
//! stream is lost we open another one, from the last cursor seen.

use leptos::prelude::*;

/// How the stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "hydrate"),
    expect(dead_code, reason = "the server only renders the first state")
)]
pub enum FeedState {
    Connecting,
    Live,
    Reconnecting,
}

/// Keeps the stream open while the owner lives. `cursor` says where to resume, `on_event` gets
/// each event's JSON.
#[cfg(feature = "hydrate")]
pub fn keep_open(
    state: RwSignal<FeedState>,
    cursor: impl Fn() -> String + 'static,
    on_event: impl Fn(&str) + 'static,
) {
    use std::time::Duration;

    use leptos::reactive::spawn_local_scoped_with_cancellation;

    spawn_local_scoped_with_cancellation(async move {
        let mut failures = 0_u32;
        loop {
            let on_open = |failures: &mut u32| {
                *failures = 0;
                state.set(FeedState::Live);
            };
            // What cannot be opened is tried again like what does not answer.
            stream::follow(&cursor(), &mut failures, on_open, &on_event).await;
            state.set(FeedState::Reconnecting);
            failures = failures.saturating_add(1);
            // 0.5, 1, 2, 4, 8 seconds: soon after a restart, gentle in a long outage.
            stream::sleep(Duration::from_millis(250) * 2_u32.pow(failures.min(5))).await;
        }
    });
}

/// The server renders what was, not what comes.
#[cfg(not(feature = "hydrate"))]
pub fn keep_open(
    _state: RwSignal<FeedState>,
    _cursor: impl Fn() -> String + 'static,
    _on_event: impl Fn(&str) + 'static,
) {
}

#[cfg(feature = "hydrate")]
mod stream {
    use std::time::Duration;

    use futures::StreamExt;
    use futures::channel::oneshot;
    use futures::stream::select;
    use gloo_net::eventsource::futures::{EventSource, EventSourceSubscription};
    use leptos::prelude::set_timeout;
    use leptos_router::location::Url;

    /// Reads the stream until it is lost; `None` where the browser cannot even try.
    pub async fn follow(
        cursor: &str,
        failures: &mut u32,
        on_open: impl Fn(&mut u32),
        on_event: &impl Fn(&str),
    ) -> Option<()> {
        let address = ["/api/admin/live?after=", &Url::escape(cursor)].concat();
        let mut source = EventSource::new(&address).ok()?;
        // Of its own accord the stream says neither that it was opened, nor that it was lost while
        // the browser means to try again.
        let states = select(
            subscribe(&mut source, "open")?,
            subscribe(&mut source, "error")?,
        );
        let mut events = select(states, subscribe(&mut source, "delivery")?);
        while let Some(Ok((kind, event))) = events.next().await {
            match kind.as_str() {
                "open" => on_open(failures),
                "delivery" => {
                    if let Some(data) = event.data().as_string() {
                        on_event(&data);
                    }
                }
                _ => break,
            }
        }
        Some(())
    }

    fn subscribe(source: &mut EventSource, kind: &str) -> Option<EventSourceSubscription> {
        source.subscribe(kind).ok()
    }

    pub async fn sleep(wait: Duration) {
        let (over, is_over) = oneshot::channel::<()>();
        set_timeout(move || drop(over), wait);
        // An end without a word is what is waited for.
        is_over.await.ok();
    }
}
