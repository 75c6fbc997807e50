//! What was just done, told once: visibly, and politely to screen readers.

use leptos::prelude::*;

use crate::components::erased::{Erase, flag, part, press, words};
use crate::text::use_text;

/// Tells the visitor that something was done.
#[derive(Clone, Copy)]
pub struct Notices(RwSignal<Option<String>>);

pub fn provide_notices() {
    provide_context(Notices(RwSignal::new(None)));
}

#[must_use]
pub fn use_notices() -> Notices {
    use_context().unwrap_or_else(|| Notices(RwSignal::new(None)))
}

impl Notices {
    /// Shows a sentence until it is dismissed or the next one comes.
    pub fn tell(self, sentence: String) {
        self.0.set(Some(sentence));
    }

    pub fn clear(self) {
        self.0.set(None);
    }
}

/// Where notices appear. It is always in the page, because screen readers only announce changes
/// of a region they already know.
#[component]
pub fn NoticeBar() -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let is_shown = move || notices.0.with(Option::is_some);
    view! {
        <div class="notice-bar" class:shown=flag(is_shown)>
            <p role="status" class="notice-text">
                {words(move || notices.0.get().unwrap_or_default())}
            </p>
            {part(move || if is_shown() { view! {
                <button type="button" class="tool" on:click=press(move |_| notices.clear())>
                    {text.say(|t| t.common.dismiss)}
                </button>
            }.erased() } else { ().erased() })}
        </div>
    }
    .erased()
}
