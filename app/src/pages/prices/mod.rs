//! `/admin/prices`: what models cost. The list; with `?model=…` one model's price and its
//! versions; with `?new` a new model.

mod availability;
mod editor;
mod form;
mod list;
mod versions;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::api::query::{Query, QueryAnswer, use_query};
use crate::components::address_query::use_address_query;
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::text::use_text;
use editor::Editor;
use list::List;

#[component]
pub fn PricesPage() -> impl IntoView {
    let text = use_text();
    let address = use_address_query();
    // What the address asks for: a model's name, an empty name for a new one, or the list.
    let asked = move || {
        let is_new = !address.all("new").is_empty();
        let model = address.all("model").pop();
        model.or_else(|| is_new.then(String::new))
    };
    let found = use_query(move || match asked() {
        None => Query::Prices,
        Some(model) if model.is_empty() => Query::Nothing,
        Some(model) => Query::Versions(model),
    });
    view! {
        <Title text=text.say(|t| t.prices.title) />
        {answered(found, move |answer| {
            let model = untrack(asked);
            Ok(match (answer, model) {
                (QueryAnswer::Prices(json), _) => {
                    let prices = json.read()?;
                    view! { <List prices /> }.erased()
                }
                (QueryAnswer::Versions(json), Some(model)) => {
                    let versions = json.read()?;
                    view! { <Editor model found=Some(versions) versions=found /> }.erased()
                }
                (_, Some(model)) => view! { <Editor model found=None versions=found /> }.erased(),
                (_, None) => return nothing(),
            })
        })}
    }
    .erased()
}
