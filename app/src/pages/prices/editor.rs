//! One model: the form that publishes its next version, and the versions so far.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::money::UnitPrice;
use shared::price::{PriceVersion, Rates};

use super::list::ActiveBadge;
use super::versions::Versions;
use crate::address::price_address;
use crate::api::price_draft::{FIELDS, PriceDraft};
use crate::api::prices::{ModelVersions, publish_price};
use crate::api::query::QueryResource;
use crate::browser;
use crate::components::command::Command;
use crate::components::confirm::ConfirmButton;
use crate::components::erased::{Erase, flag, phrase, submit_with, words};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::notice::use_notices;
use crate::text::{fill, use_text};

#[component]
pub fn Editor(
    /// From the address; empty for a new model.
    model: String,
    found: Option<ModelVersions>,
    versions: QueryResource,
) -> impl IntoView {
    let text = use_text();
    // The newest version is what the next one starts from, even before it comes into force.
    let base = found
        .as_ref()
        .and_then(|found| {
            found
                .versions
                .iter()
                .max_by_key(|(version, _)| version.version)
        })
        .map(|(version, _)| version.clone());
    let expected_version = found.as_ref().map_or(0, |found| found.latest_version);
    let title = {
        let name = base
            .as_ref()
            .map(|version| String::from(version.model_name.clone()));
        move || match &name {
            Some(name) => fill(text.get().prices.edit_title, &[name]),
            None => text.get().prices.add_title.to_owned(),
        }
    };
    let state = base
        .clone()
        .map(|version| view! { <Availability version versions /> }.erased());
    let history = found
        .filter(|found| !found.versions.is_empty())
        .map(|found| view! { <Versions found /> }.erased());
    view! {
        <p class="crumb">
            <a href="/admin/prices">{text.say(|t| t.prices.back)}</a>
        </p>
        <div class="page-head">
            <h1>{words(title)}</h1>
        </div>
        <PriceForm model base expected_version versions />
        {state}
        {history}
    }
    .erased()
}

fn typed(price: Option<UnitPrice>) -> String {
    price.map(|price| price.to_string()).unwrap_or_default()
}

#[component]
fn PriceForm(
    model: String,
    base: Option<PriceVersion>,
    expected_version: i32,
    versions: QueryResource,
) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let navigate = use_navigate();
    let hydrated = browser::use_hydrated();
    let is_new = base.is_none();
    let is_active = base.as_ref().is_none_or(|version| version.is_active);
    let rates = base.as_ref().map(|version| version.rates);
    let with_rates =
        |pick: fn(Rates) -> Option<UnitPrice>| RwSignal::new(typed(rates.and_then(pick)));

    let model_name = RwSignal::new(
        base.as_ref()
            .map_or(model, |version| String::from(version.model_name.clone())),
    );
    let input = with_rates(|rates| Some(rates.input));
    let output = with_rates(|rates| Some(rates.output));
    let cached_input = with_rates(|rates| rates.cached_input);
    let cache_write = with_rates(|rates| rates.cache_write);
    let reasoning = with_rates(|rates| rates.reasoning);
    let per_request = RwSignal::new(
        rates
            .filter(|rates| !rates.per_request.is_zero())
            .map(|rates| rates.per_request.to_string())
            .unwrap_or_default(),
    );
    let effective_from = RwSignal::new(String::new());
    let note = RwSignal::new(String::new());
    let has_more = rates.is_some_and(|rates| {
        rates.cached_input.is_some()
            || rates.cache_write.is_some()
            || rates.reasoning.is_some()
            || !rates.per_request.is_zero()
    });

    let publish = Command::new();
    let error = move || publish.error();

    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let typed_from = effective_from.get();
        let from = browser::parse_local_time(&typed_from);
        let draft = PriceDraft {
            model_name: model_name.get(),
            input: input.get(),
            output: output.get(),
            cached_input: cached_input.get(),
            cache_write: cache_write.get(),
            reasoning: reasoning.get(),
            per_request: per_request.get(),
            is_active,
            effective_from: from,
            note: note.get(),
            expected_version,
        };
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
                let address = price_address(&name);
                navigate(
                    &address,
                    NavigateOptions {
                        replace: true,
                        ..NavigateOptions::default()
                    },
                );
            } else {
                versions.refetch();
            }
            Ok(())
        });
    };

    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <Field
                id="modelName"
                label=|t| t.prices.model_name
                hint=|t| t.prices.model_name_hint
                value=model_name
                fault=fault_of(error, "modelName")
                    takes_focus=true
                required=true
                readonly=!is_new
            />
            <div class="columns">
                <Field
                    id="input"
                    label=|t| t.prices.input
                    value=input
                    fault=fault_of(error, "input")
                    takes_focus=true
                    inputmode="decimal"
                    required=true
                />
                <Field
                    id="output"
                    label=|t| t.prices.output
                    value=output
                    fault=fault_of(error, "output")
                    takes_focus=true
                    inputmode="decimal"
                    required=true
                />
            </div>
            <details class="more" open=has_more>
                <summary>{text.say(|t| t.prices.more_prices)}</summary>
                <p class="quiet small">{text.say(|t| t.prices.more_hint)}</p>
                <div class="columns">
                    <Field
                        id="cachedInput"
                        label=|t| t.prices.cached_input
                        value=cached_input
                        fault=fault_of(error, "cachedInput")
                    takes_focus=true
                        inputmode="decimal"
                    />
                    <Field
                        id="cacheWrite"
                        label=|t| t.prices.cache_write
                        value=cache_write
                        fault=fault_of(error, "cacheWrite")
                    takes_focus=true
                        inputmode="decimal"
                    />
                    <Field
                        id="reasoning"
                        label=|t| t.prices.reasoning
                        value=reasoning
                        fault=fault_of(error, "reasoning")
                    takes_focus=true
                        inputmode="decimal"
                    />
                    <Field
                        id="perRequest"
                        label=|t| t.prices.per_request
                        value=per_request
                        fault=fault_of(error, "perRequest")
                    takes_focus=true
                        inputmode="decimal"
                    />
                </div>
            </details>
            <div class="columns">
                <Field
                    id="effectiveFrom"
                    label=|t| t.prices.start
                    hint=|t| t.prices.start_hint
                    value=effective_from
                    fault=fault_of(error, "effectiveFrom")
                    takes_focus=true
                    kind="datetime-local"
                />
                <Field
                    id="note"
                    label=|t| t.prices.note_field
                    hint=|t| t.prices.note_hint
                    value=note
                    fault=fault_of(error, "note")
                    takes_focus=true
                />
            </div>
            <FormError error=Signal::derive(error) fields=&FIELDS />
            <div class="actions">
                <button
                    type="submit"
                    class="button primary"
                    disabled=flag(move || publish.is_pending() || !hydrated.get())
                >
                    {phrase(move || {
                        let words = &text.get().prices;
                        if publish.is_pending() { words.publishing } else { words.publish }
                    })}
                </button>
                <span class="quiet small">{text.say(|t| t.prices.publish_hint)}</span>
            </div>
        </form>
    }
    .erased()
}

/// Switches a model's price off or on, which is a new version too.
#[component]
fn Availability(version: PriceVersion, versions: QueryResource) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let is_active = version.is_active;
    let name = String::from(version.model_name.clone());
    let switch = Command::new();
    let draft = draft_of(&version);
    let on_confirm = Callback::new(move |()| {
        let (draft, name) = (draft.clone(), name.clone());
        switch.run(async move {
            publish_price(PriceDraft {
                is_active: !is_active,
                ..draft
            })
            .await?;
            let words = &text.now().prices;
            let sentence = if is_active {
                words.notice_deactivated
            } else {
                words.notice_activated
            };
            notices.tell(fill(sentence, &[&name]));
            versions.refetch();
            Ok(())
        });
    });
    let button = if is_active {
        view! {
            <ConfirmButton
                label=|t| t.prices.deactivate
                consequence=|t| t.prices.deactivate_consequence
                confirm=|t| t.prices.deactivate_confirm
                busy=Signal::derive(move || switch.is_pending())
                on_confirm
            />
        }
        .erased()
    } else {
        view! {
            <ConfirmButton
                label=|t| t.prices.activate
                consequence=|t| t.prices.activate_consequence
                confirm=|t| t.prices.activate_confirm
                busy=Signal::derive(move || switch.is_pending())
                on_confirm
            />
        }
        .erased()
    };
    view! {
        <section class="card availability" aria-labelledby="availability-title">
            <h2 id="availability-title">
                {text.say(|t| t.prices.availability)} " " <ActiveBadge is_active />
            </h2>
            {button}
            <FormError error=Signal::derive(move || switch.error()) fields=&[] />
        </section>
    }
    .erased()
}

/// A version as the draft of the next one.
fn draft_of(version: &PriceVersion) -> PriceDraft {
    let rates = version.rates;
    PriceDraft {
        model_name: String::from(version.model_name.clone()),
        input: rates.input.to_string(),
        output: rates.output.to_string(),
        cached_input: typed(rates.cached_input),
        cache_write: typed(rates.cache_write),
        reasoning: typed(rates.reasoning),
        per_request: rates.per_request.to_string(),
        is_active: version.is_active,
        effective_from: None,
        note: String::new(),
        expected_version: version.version,
    }
}
