//! `/admin/prices/rerate`: past messages are priced again at another version. First the difference,
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
                        <p class="crumb">
                            <a href="/admin/prices">{text.say(|t| t.prices.back)}</a>
                        </p>
                        <div class="page-head">
                            <h1>{text.say(|t| t.rerate.title)}</h1>
                        </div>
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
