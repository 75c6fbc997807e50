//! A moment that reads the same on both sides, and in the visitor's time zone once hydrated.

use leptos::prelude::*;
use shared::clock::Timestamp;

use crate::browser;
use crate::components::erased::{Erase, words};

/// UTC as the server sends it, marked with a `Z`; the browser then shows its own time zone, and
/// keeps the exact UTC moment as a tooltip.
#[component]
pub fn Moment(at: Timestamp) -> impl IntoView {
    let hydrated = browser::use_hydrated();
    let exact = at.to_string();
    let shown = move || {
        if hydrated.get() {
            browser::local_time(at)
        } else {
            browser::utc_time(at) + "Z"
        }
    };
    view! {
        <time class="moment" datetime=exact.clone() title=exact>
            {words(shown)}
        </time>
    }
    .erased()
}
