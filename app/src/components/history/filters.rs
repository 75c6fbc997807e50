//! Which entries are listed.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::api::EntryKind;

use super::account::{AccountHistory, BEFORE, FROM, KIND, MODEL, TO};
use crate::browser;
use crate::components::address_query::AddressQuery;
use crate::components::badge::kind_label;
use crate::components::erased::{Erase, flag, submit_with};
use crate::components::field::{Field, Select, choice};
use crate::components::open_items::OPEN;
use crate::text::use_text;

/// The filter as it is typed.
#[derive(Clone, Copy)]
struct FilterFields {
    model: RwSignal<String>,
    kind: RwSignal<String>,
    /// Days of the visitor's own calendar, which only the browser knows.
    from: RwSignal<String>,
    to: RwSignal<String>,
}

impl FilterFields {
    fn new(address: AddressQuery) -> Self {
        let typed = |name: &str| RwSignal::new(untrack(|| address.get(name)).unwrap_or_default());
        Self {
            model: typed(MODEL),
            kind: typed(KIND),
            from: RwSignal::new(String::new()),
            to: RwSignal::new(String::new()),
        }
    }

    /// What the address asks for, in the browser. Tracked.
    fn read(self, address: AddressQuery) {
        let day = |name: &str, days_back: u32| {
            let at = address.get(name).and_then(|at| at.parse().ok());
            at.map(|at| browser::local_day(at, days_back))
                .unwrap_or_default()
        };
        self.model.set(address.get(MODEL).unwrap_or_default());
        self.kind.set(address.get(KIND).unwrap_or_default());
        self.from.set(day(FROM, 0));
        self.to.set(day(TO, 1));
    }

    /// What the address is to ask for: moments and not days, so that a link means the same to
    /// everybody. The last day is included.
    fn changes(self) -> [(&'static str, Vec<String>); 6] {
        let midnight = |day: RwSignal<String>, days: u32| {
            let at = browser::local_midnight(&day.get_untracked(), days);
            at.map(|at| at.to_string()).into_iter().collect()
        };
        [
            (MODEL, vec![self.model.get_untracked().trim().to_owned()]),
            (KIND, vec![self.kind.get_untracked()]),
            (FROM, midnight(self.from, 0)),
            (TO, midnight(self.to, 1)),
            (BEFORE, Vec::new()),
            (OPEN, Vec::new()),
        ]
    }

    fn clear(self) {
        for field in [self.model, self.kind, self.from, self.to] {
            field.set(String::new());
        }
    }
}

#[component]
pub fn Filters(history: AccountHistory) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let navigate = use_navigate();
    let address = history.address;
    let typed = FilterFields::new(address);
    let show = move || {
        let options = NavigateOptions {
            scroll: false,
            ..NavigateOptions::default()
        };
        navigate(&untrack(|| address.with(&typed.changes())), options);
    };
    let submit = {
        let show = show.clone();
        move |event: leptos::ev::SubmitEvent| {
            event.prevent_default();
            show();
        }
    };
    let reset = move |event: leptos::ev::Event| {
        event.prevent_default();
        typed.clear();
        show();
    };
    let form = view! {
        <form class="inline filters" aria-label=text.say(|t| t.history.filters) on:submit=submit_with(submit) on:reset=reset>
            <Field id="historyModel" label=|t| t.history.model value=typed.model />
            <Select id="historyKind" label=|t| t.history.kind value=typed.kind options=kinds(typed.kind) />
            <Field id="historyFrom" label=|t| t.history.from value=typed.from kind="date" />
            <Field id="historyTo" label=|t| t.history.to value=typed.to kind="date" />
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
            typed.read(address);
        }
    });
    form
}

fn kinds(chosen: RwSignal<String>) -> AnyView {
    let text = use_text();
    let chosen = chosen.get_untracked();
    let all = choice(
        String::new(),
        move || text.get().history.all_kinds.to_owned(),
        chosen.is_empty(),
    );
    let kinds = EntryKind::ALL.into_iter().map(|kind| {
        let label = move || kind_label(kind)(text.get()).to_owned();
        choice(kind.as_str().to_owned(), label, kind.as_str() == chosen)
    });
    std::iter::once(all).chain(kinds).collect_view().erased()
}
