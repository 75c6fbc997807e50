//! When Dify was asked last, why that failed, and asking it now.

use leptos::prelude::*;
use shared::api::Completeness;

use crate::api::completeness::check_completeness;
use crate::api::query::QueryResource;
use crate::browser;
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, part, phrase, submit_with, words};
use crate::components::field::FormError;
use crate::components::moment::Moment;
use crate::components::refusal::Loading;
use crate::text::{fill, use_text};

/// How many days can be looked back.
const DAYS_BACK: [u32; 4] = [2, 7, 30, 90];
const DAYS_BACK_AT_FIRST: u32 = 7;

#[component]
pub fn Check(completeness: Completeness, found: QueryResource) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let days = RwSignal::new(DAYS_BACK_AT_FIRST);
    let check = Command::new();
    let source = completeness.source;
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let (source, days) = (source.clone(), days.get_untracked());
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
    let option = |back: u32| {
        let count = back.to_string();
        let said = move || fill(text.get().completeness.days_back, &[&count]);
        view! {
            <option value=back.to_string() selected=back == DAYS_BACK_AT_FIRST>
                {words(said)}
            </option>
        }
        .erased()
    };
    view! {
        <section class="card" aria-labelledby="check-title">
            <h2 id="check-title">{text.say(|t| t.completeness.last_check)}</h2>
            <p>{last}</p>
            {failure}
            <form class="inline" on:submit=submit_with(submit)>
                <div class="field narrow">
                    <label for="daysBack">{text.say(|t| t.completeness.look_back)}</label>
                    <select
                        id="daysBack"
                        on:change=move |event| {
                            let chosen = event_target_value(&event).parse();
                            days.set(chosen.unwrap_or(DAYS_BACK_AT_FIRST));
                        }
                    >
                        {DAYS_BACK.into_iter().map(option).collect_view()}
                    </select>
                </div>
                <button
                    type="submit"
                    class="button"
                    disabled=flag(move || check.is_pending() || !hydrated.get())
                >
                    {phrase(move || {
                        let words = &text.get().completeness;
                        if check.is_pending() { words.checking } else { words.check }
                    })}
                </button>
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
