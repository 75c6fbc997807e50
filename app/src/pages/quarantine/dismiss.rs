//! Giving a message up.

use leptos::prelude::*;

use super::done::use_done;
use crate::api::fields::refuse_no_reason;
use crate::api::quarantine::dismiss_waiting;
use crate::components::command::Command;
use crate::components::confirm::ConfirmButton;
use crate::components::erased::Erase;
use crate::components::field::{Field, FormError, fault_of};
use crate::text::use_text;

#[component]
pub fn Dismiss(id: String) -> impl IntoView {
    let text = use_text();
    let done = use_done();
    let reason = RwSignal::new(String::new());
    let dismiss = Command::new();
    let error = move || dismiss.error();
    let on_confirm = Callback::new(move |()| {
        let typed = reason.get_untracked();
        if let Err(problem) = refuse_no_reason(&typed) {
            dismiss.refuse(problem);
            return;
        }
        let (id, done) = (id.clone(), done.clone());
        dismiss.run(async move {
            dismiss_waiting(id, typed).await?;
            done.leave(done.text.now().quarantine.notice_dismissed.to_owned());
            Ok(())
        });
    });
    view! {
        <section class="card stack" aria-labelledby="dismiss-title">
            <h2 id="dismiss-title">{text.say(|t| t.quarantine.dismiss)}</h2>
            <p class="quiet">{text.say(|t| t.quarantine.dismiss_hint)}</p>
            <Field
                id="dismissReason"
                label=|t| t.quarantine.dismiss_reason
                value=reason
                fault=fault_of(error, "reason")
                takes_focus=true
                required=true
            />
            <FormError error=Signal::derive(error) fields=&["reason"] />
            <ConfirmButton
                label=|t| t.quarantine.dismiss
                consequence=|t| t.quarantine.dismiss_consequence
                confirm=|t| t.quarantine.dismiss_confirm
                busy=Signal::derive(move || dismiss.is_pending())
                on_confirm
            />
        </section>
    }
    .erased()
}
