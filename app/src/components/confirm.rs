//! A button for what cannot be undone by accident: it first says what it will do.

use leptos::prelude::*;

use crate::browser::use_hydrated;
use crate::components::erased::{Erase, flag, part, phrase, press};
use crate::text::{Say, use_text};

/// Asks before acting: the button opens the consequence and a second button that does it.
#[component]
pub fn ConfirmButton(
    /// What the button is called.
    label: Say,
    /// What will happen, in a sentence.
    consequence: Say,
    /// What the second button is called.
    confirm: Say,
    #[prop(into)] busy: Signal<bool>,
    on_confirm: Callback<()>,
) -> impl IntoView {
    let text = use_text();
    let hydrated = use_hydrated();
    let is_open = RwSignal::new(false);
    let act = move |_| {
        is_open.set(false);
        on_confirm.run(());
    };
    view! {
        <div class="confirm">
            <button
                type="button"
                class="button"
                aria-expanded=phrase(move || if is_open.get() { "true" } else { "false" })
                disabled=flag(move || busy.get() || !hydrated.get())
                on:click=press(move |_| is_open.update(|open| *open = !*open))
            >
                {text.say(label)}
            </button>
            {part(move || if is_open.get() { view! {
                <div class="confirm-panel" role="group">
                    <p>{text.say(consequence)}</p>
                    <div class="actions">
                        <button type="button" class="button danger" on:click=press(act)>
                            {text.say(confirm)}
                        </button>
                        <button type="button" class="button" on:click=press(move |_| is_open.set(false))>
                            {text.say(|t| t.common.cancel)}
                        </button>
                    </div>
                </div>
            }.erased() } else { ().erased() })}
        </div>
    }
    .erased()
}
