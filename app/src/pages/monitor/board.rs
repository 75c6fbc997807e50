//! The monitor's screen: what is listed, the state of the stream, pause and resume.

use leptos::prelude::*;

use super::connection::{FeedState, keep_open};
use super::example::Nothing;
use super::live::Live;
use super::rows::Rows;
use super::state::State;
use super::summary::Summary;
use crate::api::monitor::LiveStart;
use crate::components::erased::{Erase, flag, part, phrase, press};
use crate::text::use_text;

#[component]
pub fn Board(start: LiveStart) -> impl IntoView {
    let text = use_text();
    let live = Live::new(start);
    let connection = RwSignal::new(FeedState::Connecting);
    Effect::new(move |_| {
        keep_open(
            connection,
            move || live.cursor(),
            move |json| live.accept(json),
        );
    });
    let Live {
        rows,
        is_paused,
        waiting,
        announcement,
        ..
    } = live;
    let is_empty = Memo::new(move |_| rows.with(Vec::is_empty));
    view! {
        <div class="page-head">
            <h1>{text.say(|t| t.monitor.title)}</h1>
            <State connection is_paused waiting />
            <button
                type="button"
                class="button"
                disabled=flag(move || connection.get() == FeedState::Connecting)
                on:click=press(move |_| live.pause_or_resume())
            >
                {phrase(move || {
                    let words = &text.get().monitor;
                    if is_paused.get() { words.resume } else { words.pause }
                })}
            </button>
        </div>
        <p class="visually-hidden" role="status">
            {announcement}
        </p>
        {part(move || {
            if is_empty.get() {
                view! { <Nothing /> }.erased()
            } else {
                view! {
                    <Summary rows />
                    <Rows rows />
                }
                    .erased()
            }
        })}
    }
    .erased()
}
