//! The form that publishes a price.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::price::PriceVersion;

use crate::address::price_address;
use crate::api::price_draft::{FIELDS, PriceDraft};
use crate::api::prices::publish_price;
use crate::api::query::QueryResource;
use crate::browser;
use crate::components::command::Command;
use crate::components::erased::{Erase, submit_with};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::notice::use_notices;
use crate::components::submit::submit_button;
use crate::text::{Say, fill, use_text};

/// The form as it is typed.
#[derive(Clone, Copy)]
struct PriceFields {
    model_name: RwSignal<String>,
    input: RwSignal<String>,
    output: RwSignal<String>,
    cached_input: RwSignal<String>,
    cache_write: RwSignal<String>,
    reasoning: RwSignal<String>,
    per_request: RwSignal<String>,
    effective_from: RwSignal<String>,
    note: RwSignal<String>,
}

impl PriceFields {
    fn new(draft: PriceDraft) -> Self {
        Self {
            model_name: RwSignal::new(draft.model_name),
            input: RwSignal::new(draft.input),
            output: RwSignal::new(draft.output),
            cached_input: RwSignal::new(draft.cached_input),
            cache_write: RwSignal::new(draft.cache_write),
            reasoning: RwSignal::new(draft.reasoning),
            per_request: RwSignal::new(draft.per_request),
            effective_from: RwSignal::new(String::new()),
            note: RwSignal::new(draft.note),
        }
    }

    fn draft(self, is_active: bool, expected_version: i32) -> PriceDraft {
        PriceDraft {
            model_name: self.model_name.get_untracked(),
            input: self.input.get_untracked(),
            output: self.output.get_untracked(),
            cached_input: self.cached_input.get_untracked(),
            cache_write: self.cache_write.get_untracked(),
            reasoning: self.reasoning.get_untracked(),
            per_request: self.per_request.get_untracked(),
            is_active,
            effective_from: browser::parse_local_time(&self.effective_from.get_untracked()),
            note: self.note.get_untracked(),
            expected_version,
        }
    }
}

/// The newest version as what is typed at first; the model of the address where there is none.
fn first_draft(model: String, base: Option<PriceVersion>) -> PriceDraft {
    let Some(base) = base else {
        return PriceDraft {
            model_name: model,
            ..PriceDraft::default()
        };
    };
    let is_free_of_requests = base.rates.per_request.is_zero();
    let mut draft = PriceDraft::of(base);
    if is_free_of_requests {
        draft.per_request.clear();
    }
    draft
}

#[component]
pub fn PriceForm(
    model: String,
    base: Option<PriceVersion>,
    expected_version: i32,
    versions: QueryResource,
) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let navigate = use_navigate();
    let is_new = base.is_none();
    let is_active = base.as_ref().is_none_or(|version| version.is_active);
    let typed = PriceFields::new(first_draft(model, base));
    let publish = Command::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let draft = typed.draft(is_active, expected_version);
        if let Err(problem) = draft.parse() {
            publish.refuse(problem);
            return;
        }
        let navigate = navigate.clone();
        publish.run(async move {
            let published = publish_price(draft).await?;
            let name = String::from(published.model_name.clone());
            notices.tell(fill(
                text.now().prices.notice_published,
                &[&name, &published.version.to_string()],
            ));
            if is_new {
                let options = NavigateOptions {
                    replace: true,
                    ..NavigateOptions::default()
                };
                navigate(&price_address(&name), options);
            } else {
                versions.refetch();
            }
            Ok(())
        });
    };
    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <Fields typed publish is_new />
            <FormError error=Signal::derive(move || publish.error()) fields=&FIELDS />
            <div class="actions">
                {submit_button("button primary", publish, |t| t.prices.publishing, move || text.get().prices.publish)}
                <span class="quiet small">{text.say(|t| t.prices.publish_hint)}</span>
            </div>
        </form>
    }
    .erased()
}

#[component]
fn Fields(typed: PriceFields, publish: Command, is_new: bool) -> impl IntoView {
    let text = use_text();
    let fault = move |id: &'static str| fault_of(move || publish.error(), id);
    let price = move |id: &'static str, label: Say, value: RwSignal<String>, required: bool| {
        let fault = fault(id);
        view! { <Field id label value fault takes_focus=true inputmode="decimal" required /> }
            .erased()
    };
    let has_more = [
        typed.cached_input,
        typed.cache_write,
        typed.reasoning,
        typed.per_request,
    ]
    .iter()
    .any(|price| !price.with_untracked(String::is_empty));
    view! {
        <Field
            id="modelName"
            label=|t| t.prices.model_name
            hint=|t| t.prices.model_name_hint
            value=typed.model_name
            fault=fault("modelName")
            takes_focus=true
            required=true
            readonly=!is_new
        />
        <div class="columns">
            {price("input", |t| t.prices.input, typed.input, true)}
            {price("output", |t| t.prices.output, typed.output, true)}
        </div>
        <details class="more" open=has_more>
            <summary>{text.say(|t| t.prices.more_prices)}</summary>
            <p class="quiet small">{text.say(|t| t.prices.more_hint)}</p>
            <div class="columns">
                {price("cachedInput", |t| t.prices.cached_input, typed.cached_input, false)}
                {price("cacheWrite", |t| t.prices.cache_write, typed.cache_write, false)}
                {price("reasoning", |t| t.prices.reasoning, typed.reasoning, false)}
                {price("perRequest", |t| t.prices.per_request, typed.per_request, false)}
            </div>
        </details>
        <div class="columns">
            <Field
                id="effectiveFrom"
                label=|t| t.prices.start
                hint=|t| t.prices.start_hint
                value=typed.effective_from
                fault=fault("effectiveFrom")
                takes_focus=true
                kind="datetime-local"
            />
            <Field
                id="note"
                label=|t| t.prices.note_field
                hint=|t| t.prices.note_hint
                value=typed.note
                fault=fault("note")
                takes_focus=true
            />
        </div>
    }
    .erased()
}
