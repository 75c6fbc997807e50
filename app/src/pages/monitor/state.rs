//! How the stream is doing, in words.

use leptos::prelude::*;

use super::connection::FeedState;
use crate::components::erased::{Erase, phrase, words};
use crate::text::{fill, use_text};

#[component]
pub fn State(
    connection: RwSignal<FeedState>,
    is_paused: RwSignal<bool>,
    waiting: RwSignal<u32>,
) -> impl IntoView {
    let text = use_text();
    let class = move || match (connection.get(), is_paused.get()) {
        (FeedState::Live, false) => "state live",
        (FeedState::Live, true) => "state paused",
        (FeedState::Connecting | FeedState::Reconnecting, _) => "state lost",
    };
    let state = move || {
        let words = &text.get().monitor;
        match (connection.get(), is_paused.get()) {
            (FeedState::Live, false) => words.live.to_owned(),
            (FeedState::Connecting, _) => words.connecting.to_owned(),
            (FeedState::Reconnecting, _) => words.reconnecting.to_owned(),
            (FeedState::Live, true) => fill(words.paused, &[&waiting.get().to_string()]),
        }
    };
    view! {
        <p class=phrase(class) data-testid="connection">
            <span class="dot" aria-hidden="true"></span>
            {words(state)}
        </p>
    }
    .erased()
}
