//! Charging a message as it was reported.

use leptos::prelude::*;
use shared::money::Points;

use super::done::use_done;
use crate::api::quarantine::charge_waiting;
use crate::browser;
use crate::components::amount::points_text;
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, phrase, press, words};
use crate::components::field::FormError;
use crate::text::{fill, use_text};

#[component]
pub fn Charge(id: String, user: String, cost: Points) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let done = use_done();
    let refusal = done.refusal();
    let charge = Command::new();
    let cost = points_text(cost);
    let on_charge = move |_| {
        let (id, user, done) = (id.clone(), user.clone(), done.clone());
        charge.run(async move {
            let answer = charge_waiting(id, None).await?;
            done.charged(&user, &answer);
            Ok(())
        });
    };
    view! {
        <section class="card stack" aria-labelledby="charge-title">
            <h2 id="charge-title">{text.say(|t| t.quarantine.charge)}</h2>
            <p>{words(move || fill(text.get().quarantine.charge_hint, &[&cost]))}</p>
            <FormError error=Signal::derive(move || charge.error()) fields=&[] />
            {refusal}
            <div class="actions">
                <button
                    type="button"
                    class="button primary"
                    disabled=flag(move || charge.is_pending() || !hydrated.get())
                    on:click=press(on_charge)
                >
                    {phrase(move || {
                        let words = &text.get().quarantine;
                        if charge.is_pending() { words.charging } else { words.charge_reported }
                    })}
                </button>
            </div>
        </section>
    }
    .erased()
}
