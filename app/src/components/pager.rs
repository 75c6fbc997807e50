//! Walking through keyset pages: forward by cursor, back by remembering the cursors that led here.

use leptos::prelude::*;

use crate::lean::{Lean, flag, press, words};
use crate::text::{fill, use_text};

/// Which page of a list is shown. Its signal belongs to the source of the list's resource.
#[derive(Clone, Copy)]
pub struct Pages(RwSignal<Vec<String>>);

impl Default for Pages {
    fn default() -> Self {
        Self(RwSignal::new(Vec::new()))
    }
}

impl Pages {
    /// The cursor of the page that is shown; `None` for the first, tracked.
    #[must_use]
    pub fn cursor(self) -> Option<String> {
        self.0.with(|cursors| cursors.last().cloned())
    }

    /// Back to the first page, for a new filter.
    pub fn restart(self) {
        if !self.0.with_untracked(Vec::is_empty) {
            self.0.update(Vec::clear);
        }
    }
}

/// "Newer", "Older" and the page's number; nothing when there is only one page.
#[component]
pub fn Pager(pages: Pages, next_cursor: Option<String>) -> impl IntoView {
    let text = use_text();
    let is_first = move || pages.0.with(Vec::is_empty);
    let is_last = next_cursor.is_none();
    let go_on = move |_| {
        if let Some(cursor) = next_cursor.clone() {
            pages.0.update(|cursors| cursors.push(cursor));
        }
    };
    let number = move || {
        let number = (pages.0.with(Vec::len) + 1).to_string();
        fill(text.get().common.page_number, &[&number])
    };
    view! {
        <nav
            class="pager"
            aria-label=text.say(|t| t.common.pages)
            hidden=flag(move || is_first() && is_last)
        >
            <button
                type="button"
                class="button"
                disabled=flag(is_first)
                on:click=press(move |_| pages.0.update(|cursors| drop(cursors.pop())))
            >
                {text.say(|t| t.common.previous_page)}
            </button>
            <span class="quiet">{words(number)}</span>
            <button type="button" class="button" disabled=is_last on:click=press(go_on)>
                {text.say(|t| t.common.next_page)}
            </button>
        </nav>
    }
    .lean()
}
