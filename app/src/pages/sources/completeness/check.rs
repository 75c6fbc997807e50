//! When Dify was asked last, why that failed, and asking it now.

use leptos::prelude::*;
use shared::api::Completeness;

use crate::api::completeness::check_completeness;
use crate::api::query::QueryResource;
use crate::components::command::Command;
use crate::components::erased::{Erase, part, submit_with};
use crate::components::field::{FormError, Select, choice};
use crate::components::moment::Moment;
use crate::components::refusal::Loading;
use crate::components::submit::submit_button;
use crate::text::{fill, use_text};

/// How many days can be looked back.
const DAYS_BACK: [u32; 4] = [2, 7, 30, 90];
const DAYS_BACK_AT_FIRST: u32 = 7;

#[component]
pub fn Check(completeness: Completeness, found: QueryResource) -> impl IntoView {
    let text = use_text();
    let days = RwSignal::new(DAYS_BACK_AT_FIRST.to_string());
    let check = Command::new();
    let source = completeness.source;
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let days = days.with_untracked(|days| days.parse().unwrap_or(DAYS_BACK_AT_FIRST));
        let source = source.clone();
        check.run(async move {
            let checked = check_completeness(source, days).await;
            found.refetch();
            checked
        });
    };
    let last = match completeness.checked_at {
        Some(at) => view! { <Moment at /> }.erased(),
        None => text.say(|t| t.completeness.never).erased(),
    };
    let failure = completeness.error.map(|why| {
        let at = completeness
            .begun_at
            .map(|at| view! { <Moment at /> }.erased());
        view! {
            <div class="form-error">
                <p>{text.say(|t| t.completeness.failed)} " " {at}</p>
                <p>
                    <code lang="en">{why}</code>
                </p>
            </div>
        }
        .erased()
    });
    let options = DAYS_BACK.into_iter().map(|back| {
        let count = back.to_string();
        let label = move || fill(text.get().completeness.days_back, &[&count]);
        choice(back.to_string(), label, back == DAYS_BACK_AT_FIRST)
    });
    let options = options.collect_view().erased();
    view! {
        <section class="card" aria-labelledby="check-title">
            <h2 id="check-title">{text.say(|t| t.completeness.last_check)}</h2>
            <p>{last}</p>
            {failure}
            <form class="inline" on:submit=submit_with(submit)>
                <Select
                    id="daysBack"
                    label=|t| t.completeness.look_back
                    value=days
                    options
                    is_narrow=true
                />
                {submit_button("button", check, |t| t.completeness.checking, move || text.get().completeness.check)}
            </form>
            {part(move || {
                if check.is_pending() { view! { <Loading /> }.erased() } else { ().erased() }
            })}
            <FormError error=Signal::derive(move || check.error()) fields=&[] />
            <p class="quiet small">{text.say(|t| t.completeness.check_hint)}</p>
        </section>
    }
    .erased()
}
