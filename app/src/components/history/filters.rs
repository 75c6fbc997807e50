//! Which entries are listed.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::api::EntryKind;

use super::account::{FROM, History, KIND, MODEL, TO};
use crate::browser;
use crate::components::badge::kind_label;
use crate::components::erased::{Erase, flag, submit_with};
use crate::components::field::{Field, Select, choice};
use crate::components::pager::CURSOR;
use crate::text::use_text;

#[component]
pub fn Filters(history: History) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let navigate = use_navigate();
    let address = history.address;
    let typed = |name: &str| RwSignal::new(untrack(|| address.get(name)).unwrap_or_default());
    let (model, kind) = (typed(MODEL), typed(KIND));
    // Days of the visitor's own calendar, which only the browser knows.
    let (from, to) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let show = move |values: [Option<String>; 4]| {
        let [model, kind, from, to] = values.map(|value| value.into_iter().collect::<Vec<_>>());
        let changes = [
            (MODEL, model),
            (KIND, kind),
            (FROM, from),
            (TO, to),
            (CURSOR, Vec::new()),
        ];
        let options = NavigateOptions {
            scroll: false,
            ..NavigateOptions::default()
        };
        navigate(&untrack(|| address.with(&changes)), options);
    };
    let submit = {
        let show = show.clone();
        move |event: leptos::ev::SubmitEvent| {
            event.prevent_default();
            // Moments and not days, so that a link means the same to everybody. The last day is
            // included.
            let midnight = |day: RwSignal<String>, days: u32| {
                browser::local_midnight(&day.get_untracked(), days).map(|at| at.to_string())
            };
            show([
                Some(model.get_untracked().trim().to_owned()),
                Some(kind.get_untracked()),
                midnight(from, 0),
                midnight(to, 1),
            ]);
        }
    };
    let reset = move |event: leptos::ev::Event| {
        event.prevent_default();
        for field in [model, kind, from, to] {
            field.set(String::new());
        }
        show([None, None, None, None]);
    };
    let shown_kind = kind.get_untracked();
    let kinds = EntryKind::ALL.into_iter().map(|kind| {
        let label = move || kind_label(kind)(text.get()).to_owned();
        choice(kind.as_str().to_owned(), label, kind.as_str() == shown_kind)
    });
    let all = choice(
        String::new(),
        move || text.get().history.all_kinds.to_owned(),
        shown_kind.is_empty(),
    );
    let kinds = std::iter::once(all).chain(kinds).collect_view().erased();
    let form = view! {
        <form class="inline filters" aria-label=text.say(|t| t.history.filters) on:submit=submit_with(submit) on:reset=reset>
            <Field id="historyModel" label=|t| t.history.model value=model />
            <Select id="historyKind" label=|t| t.history.kind value=kind options=kinds />
            <Field id="historyFrom" label=|t| t.history.from value=from kind="date" />
            <Field id="historyTo" label=|t| t.history.to value=to kind="date" />
            <button type="submit" class="button" disabled=flag(move || !hydrated.get())>
                {text.say(|t| t.history.apply)}
            </button>
            <button type="reset" class="button" disabled=flag(move || !hydrated.get())>
                {text.say(|t| t.history.reset)}
            </button>
        </form>
    }
    .erased();
    // After the fields' own effects, which while hydrating keep what is in the inputs.
    Effect::new(move |_| {
        if hydrated.get() {
            let day = |name: &str, days: u32| {
                let at = address.get(name).and_then(|at| at.parse().ok());
                at.map(|at| browser::local_day(at, days))
                    .unwrap_or_default()
            };
            model.set(address.get(MODEL).unwrap_or_default());
            kind.set(address.get(KIND).unwrap_or_default());
            from.set(day(FROM, 0));
            to.set(day(TO, 1));
        }
    });
    form
}
