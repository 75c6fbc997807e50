//! Prices that are not published, to try out before publishing them.

use leptos::prelude::*;
use shared::price::Rates;

use crate::api::price_draft::parse_rates;
use crate::components::erased::Erase;
use crate::components::field::{Field, fault_of};
use crate::error::AppError;
use crate::text::{Say, use_text};

#[component]
pub fn OwnRates(own_rates: RwSignal<Option<Rates>>) -> impl IntoView {
    let text = use_text();
    let new = || RwSignal::new(String::new());
    let (input, output) = (new(), new());
    let (cached_input, cache_write, reasoning, per_request) = (new(), new(), new(), new());
    let all = [
        input,
        output,
        cached_input,
        cache_write,
        reasoning,
        per_request,
    ];
    let parsed = Signal::derive(move || {
        let typed = all.map(|field| field.get());
        if typed.iter().all(|typed| typed.trim().is_empty()) {
            return Ok(None);
        }
        let [
            input,
            output,
            cached_input,
            cache_write,
            reasoning,
            per_request,
        ] = &typed;
        // While only one of the two is typed, the other is free.
        let or_free = |typed: &str| {
            if typed.trim().is_empty() {
                "0".to_owned()
            } else {
                typed.to_owned()
            }
        };
        parse_rates([
            &or_free(input),
            &or_free(output),
            cached_input,
            cache_write,
            reasoning,
            per_request,
        ])
        .map(Some)
    });
    Effect::new(move |_| own_rates.set(parsed.get().ok().flatten()));
    let error = move || parsed.get().err().map(AppError::Refused);
    let field = move |id: &'static str, name: &'static str, label: Say, value: RwSignal<String>| {
        view! { <Field id label value fault=fault_of(error, name) inputmode="decimal" /> }.erased()
    };
    view! {
        <details class="card more">
            <summary>{text.say(|t| t.calculator.own)}</summary>
            <p class="quiet small">{text.say(|t| t.calculator.own_hint)}</p>
            <div class="columns">
                {field("ownInput", "input", |t| t.category.input, input)}
                {field("ownOutput", "output", |t| t.category.output, output)}
                {field("ownCachedInput", "cachedInput", |t| t.category.cached_input, cached_input)}
                {field("ownCacheWrite", "cacheWrite", |t| t.category.cache_write, cache_write)}
                {field("ownReasoning", "reasoning", |t| t.category.reasoning, reasoning)}
                {field("ownPerRequest", "perRequest", |t| t.category.per_request, per_request)}
            </div>
        </details>
    }
    .erased()
}
