//! The event stream. The browser's own reconnecting gives up after some errors and repeats the
//! first address, so we close and reopen ourselves, always from the last cursor seen.

use leptos::prelude::*;

/// How the stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "hydrate"),
    expect(dead_code, reason = "the server only renders the first state")
)]
pub enum Connection {
    Connecting,
    Live,
    Reconnecting,
}

/// Keeps the stream open while the owner lives. `cursor` says where to resume, `on_event` gets
/// each event's JSON.
#[cfg(feature = "hydrate")]
pub fn keep_open(
    state: RwSignal<Connection>,
    cursor: impl Fn() -> String + Clone + 'static,
    on_event: impl Fn(&str) + Clone + 'static,
) {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    struct Keeper<C, E> {
        state: RwSignal<Connection>,
        cursor: C,
        on_event: E,
        source: RefCell<Option<stream::Stream>>,
        failures: RefCell<u32>,
        is_over: RefCell<bool>,
    }

    fn open<C, E>(keeper: &Rc<Keeper<C, E>>)
    where
        C: Fn() -> String + Clone + 'static,
        E: Fn(&str) + Clone + 'static,
    {
        if *keeper.is_over.borrow() {
            return;
        }
        let url = [
            "/api/admin/live?after=",
            &leptos_router::location::Url::escape(&(keeper.cursor)()),
        ]
        .concat();
        let opened = stream::Stream::open(
            &url,
            {
                let keeper = Rc::clone(keeper);
                move || {
                    *keeper.failures.borrow_mut() = 0;
                    keeper.state.set(Connection::Live);
                }
            },
            keeper.on_event.clone(),
            {
                let keeper = Rc::clone(keeper);
                move || {
                    keeper.state.set(Connection::Reconnecting);
                    // Not dropped here: this is its own callback. The next `open` replaces it.
                    if let Some(source) = &*keeper.source.borrow() {
                        source.close();
                    }
                    let failures = {
                        let mut failures = keeper.failures.borrow_mut();
                        *failures = failures.saturating_add(1);
                        *failures
                    };
                    // 0.5, 1, 2, 4, 8 seconds: soon after a restart, gentle in a long outage.
                    let wait = Duration::from_millis(250) * 2_u32.pow(failures.min(5));
                    let keeper = Rc::clone(&keeper);
                    set_timeout(move || open(&keeper), wait);
                }
            },
        );
        *keeper.source.borrow_mut() = opened;
    }

    let keeper = Rc::new(Keeper {
        state,
        cursor,
        on_event,
        source: RefCell::new(None),
        failures: RefCell::new(0),
        is_over: RefCell::new(false),
    });
    open(&keeper);
    let keeper = StoredValue::new_local(keeper);
    on_cleanup(move || {
        keeper.with_value(|keeper| {
            *keeper.is_over.borrow_mut() = true;
            // Drops the stream, which breaks the cycle between it and its callbacks.
            keeper.source.borrow_mut().take();
        });
    });
}

/// The server renders what was, not what comes.
#[cfg(not(feature = "hydrate"))]
pub fn keep_open(
    _state: RwSignal<Connection>,
    _cursor: impl Fn() -> String + Clone + 'static,
    _on_event: impl Fn(&str) + Clone + 'static,
) {
}

#[cfg(feature = "hydrate")]
mod stream {
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::{Event, EventSource, MessageEvent};

    /// An open `EventSource` with its callbacks; closed when dropped.
    pub struct Stream {
        source: EventSource,
        _on_open: Closure<dyn FnMut(Event)>,
        _on_event: Closure<dyn FnMut(MessageEvent)>,
        _on_error: Closure<dyn FnMut(Event)>,
    }

    impl Stream {
        pub fn open(
            url: &str,
            on_open: impl Fn() + 'static,
            on_event: impl Fn(&str) + 'static,
            on_error: impl Fn() + 'static,
        ) -> Option<Self> {
            let source = EventSource::new(url).ok()?;
            let on_open = Closure::new(move |_: Event| on_open());
            let on_event = Closure::new(move |event: MessageEvent| {
                if let Some(data) = event.data().as_string() {
                    on_event(&data);
                }
            });
            let on_error = Closure::new(move |_: Event| on_error());
            source.set_onopen(Some(on_open.as_ref().unchecked_ref()));
            source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
            source
                .add_event_listener_with_callback("delivery", on_event.as_ref().unchecked_ref())
                .ok()?;
            Some(Self {
                source,
                _on_open: on_open,
                _on_event: on_event,
                _on_error: on_error,
            })
        }

        pub fn close(&self) {
            self.source.set_onopen(None);
            self.source.set_onerror(None);
            self.source.close();
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            self.close();
        }
    }
}
