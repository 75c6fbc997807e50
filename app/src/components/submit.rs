//! The button that sends a form.

use leptos::prelude::*;

use super::command::Command;
use super::erased::{Erase, flag, phrase};
use crate::browser::use_hydrated;
use crate::text::{Say, use_text};

/// Cannot be pressed before hydration is over, nor while what it began is under way.
pub fn submit_button(
    class: &'static str,
    command: Command,
    busy: Say,
    label: impl Fn() -> &'static str + Send + 'static,
) -> AnyView {
    let text = use_text();
    let hydrated = use_hydrated();
    let words = phrase(move || {
        if command.is_pending() {
            busy(text.get())
        } else {
            label()
        }
    });
    view! {
        <button
            type="submit"
            class=class
            disabled=flag(move || command.is_pending() || !hydrated.get())
        >
            {words}
        </button>
    }
    .erased()
}
