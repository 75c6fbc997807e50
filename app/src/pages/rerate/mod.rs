//! `/admin/prices/rerate`: past messages are re-rated at another version. First the difference,
//! then the job that enters it.

mod difference;
mod form;
mod jobs;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::api::query::{Query, QueryAnswer, use_query};
use crate::components::address_query::use_address_query;
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::components::list::item_head;
use crate::text::use_text;
use form::Form;
use jobs::Jobs;

#[component]
pub fn ReratePage() -> impl IntoView {
    let text = use_text();
    let address = use_address_query();
    let models = use_query(|| Query::Reratable);
    let jobs = use_query(|| Query::Jobs);
    view! {
        <Title text=text.say(|t| t.rerate.title) />
        {answered(models, move |answer| match answer {
            QueryAnswer::Reratable(json) => {
                let models = json.read()?;
                let chosen = untrack(|| address.get("model"));
                Ok(
                    view! {
                        {item_head(
                            ("/admin/prices".to_owned(), |t| t.prices.back),
                            text.say(|t| t.rerate.title).erased(),
                            None,
                        )}
                        <p class="quiet prose">{text.say(|t| t.rerate.hint)}</p>
                        <Form models chosen jobs />
                        <Jobs jobs />
                    }
                        .erased(),
                )
            }
            _ => nothing(),
        })}
    }
    .erased()
}
