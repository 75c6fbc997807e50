//! `/admin/calculator`: what given tokens cost, to the last digit, computed in the browser with
//! the function the ledger charges with.

mod comparison;
mod models;
mod own_rates;
mod tokens;

use leptos::prelude::*;
use leptos_meta::Title;
use shared::price::Rates;
use shared::quote::quote;

use crate::api::prices::ModelPrice;
use crate::api::query::{Query, QueryAnswer, use_query};
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::text::use_text;
use comparison::Comparison;
use models::{Candidate, candidates, picks};
use own_rates::OwnRates;
use tokens::{TokenFields, TypedTokens};

#[component]
pub fn CalculatorPage() -> impl IntoView {
    let text = use_text();
    let prices = use_query(|| Query::Prices);
    view! {
        <Title text=text.say(|t| t.calculator.title) />
        {answered(prices, |answer| match answer {
            QueryAnswer::Prices(json) => {
                let prices = json.read()?;
                Ok(view! { <Calculator prices /> }.erased())
            }
            _ => nothing(),
        })}
    }
    .erased()
}

#[component]
fn Calculator(prices: Vec<ModelPrice>) -> impl IntoView {
    let text = use_text();
    let candidates = candidates(prices);
    let typed = TypedTokens::sample();
    let tokens = Signal::derive(move || typed.read());
    let own_rates = RwSignal::new(None::<Rates>);
    let picks = picks(&candidates);
    let compared = Signal::derive(move || {
        let tokens = tokens.get().ok()?;
        let own = own_rates
            .get()
            .map(|rates| (None, quote(&rates, &tokens).ok()));
        let picked = candidates
            .iter()
            .filter(|candidate| candidate.is_picked.get())
            .map(|Candidate { name, rates, .. }| (Some(name.clone()), quote(rates, &tokens).ok()));
        Some(own.into_iter().chain(picked).collect::<Vec<_>>())
    });
    view! {
        <div class="page-head">
            <h1>{text.say(|t| t.calculator.title)}</h1>
        </div>
        <p class="quiet">{text.say(|t| t.calculator.hint)}</p>
        <div class="split">
            <div class="stack">
                <TokenFields typed tokens />
                <fieldset class="card">
                    <legend>{text.say(|t| t.calculator.models)}</legend>
                    <div class="picks">{picks}</div>
                    <p class="quiet small">
                        <a href="/admin/prices">{text.say(|t| t.nav.prices)}</a>
                    </p>
                </fieldset>
                <OwnRates own_rates />
            </div>
            <Comparison compared />
        </div>
    }
    .erased()
}
