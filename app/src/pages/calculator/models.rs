//! The models to compare.

use leptos::prelude::*;
use shared::price::Rates;

use crate::api::prices::ModelPrice;
use crate::components::erased::Erase;
use crate::text::use_text;

/// How many models are compared to begin with.
const PICKED_AT_FIRST: usize = 5;

/// A model to compare.
#[derive(Clone)]
pub struct Candidate {
    pub name: String,
    pub rates: Rates,
    pub is_active: bool,
    pub is_picked: RwSignal<bool>,
}

pub fn candidates(prices: Vec<ModelPrice>) -> Vec<Candidate> {
    let mut picked = 0;
    let candidate = |price: ModelPrice| {
        let is_picked = price.current.is_active && picked < PICKED_AT_FIRST;
        picked += usize::from(is_picked);
        Candidate {
            name: String::from(price.current.model_name),
            rates: price.current.rates,
            is_active: price.current.is_active,
            is_picked: RwSignal::new(is_picked),
        }
    };
    prices.into_iter().map(candidate).collect()
}

/// A box to tick for each.
pub fn picks(candidates: &[Candidate]) -> Vec<AnyView> {
    let text = use_text();
    let pick = |candidate: &Candidate| {
        let is_picked = candidate.is_picked;
        let inactive = (!candidate.is_active).then(|| {
            view! { <span class="quiet small">{text.say(|t| t.prices.inactive)}</span> }.erased()
        });
        view! {
            <label class="pick">
                <input
                    type="checkbox"
                    checked=is_picked.get_untracked()
                    on:change=move |event| is_picked.set(event_target_checked(&event))
                />
                <span>{candidate.name.clone()} " " {inactive}</span>
            </label>
        }
        .erased()
    };
    candidates.iter().map(pick).collect()
}
