//! How the stream is doing, in words.

use leptos::prelude::*;

use super::connection::Connection;
use crate::components::erased::{Erase, phrase, words};
use crate::text::{fill, use_text};

#[component]
pub fn State(
    connection: RwSignal<Connection>,
    is_paused: RwSignal<bool>,
    waiting: RwSignal<u32>,
) -> impl IntoView {
    let text = use_text();
    let class = move || match (connection.get(), is_paused.get()) {
        (Connection::Live, false) => "state live",
        (Connection::Live, true) => "state paused",
        (Connection::Connecting | Connection::Reconnecting, _) => "state lost",
    };
    let state = move || {
        let words = &text.get().monitor;
        match (connection.get(), is_paused.get()) {
            (Connection::Live, false) => words.live.to_owned(),
            (Connection::Connecting, _) => words.connecting.to_owned(),
            (Connection::Reconnecting, _) => words.reconnecting.to_owned(),
            (Connection::Live, true) => fill(words.paused, &[&waiting.get().to_string()]),
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
