//! How much of what Dify served has arrived from a gateway source: day by day, what is missing, and
//! charging it after a review.

mod check;
mod choice;
mod cost;
mod days;
mod missing;
mod results;
mod review;

use leptos::prelude::*;

use crate::address::SOURCE;
use crate::api::completeness::CheckedSource;
use crate::api::query::QueryResource;
use crate::components::address_query::AddressQuery;
use crate::components::erased::Erase;
use crate::components::list::item_head;
use check::Check;
use days::{Days, summary};
use missing::{ALL, Missing};
pub use results::Reviewed;

/// One gateway source.
#[component]
pub fn Source(
    source: CheckedSource,
    address: AddressQuery,
    found: QueryResource,
    reviewed: RwSignal<Option<Reviewed>>,
) -> impl IntoView {
    let list = untrack(|| address.with(&[(SOURCE, Vec::new()), (ALL, Vec::new())]));
    let CheckedSource {
        completeness,
        upstream_url,
        model_name,
        models,
    } = source;
    let name = completeness.source.clone();
    let url = upstream_url.map(|url| view! { <p class="quiet detail">{url}</p> }.erased());
    let summary = completeness
        .checked_at
        .map(|_| summary(&completeness).erased());
    let days = (!completeness.days.is_empty())
        .then(|| view! { <Days days=completeness.days.clone() /> }.erased());
    // Before the first check nobody knows.
    let is_known = completeness.checked_at.is_some() || !completeness.missing.is_empty();
    let missing = is_known.then(|| {
        let messages = completeness.missing.clone();
        view! { <Missing source=name.clone() messages model_name models address found reviewed /> }
            .erased()
    });
    view! {
        {item_head((list, |t| t.sources.title), name.erased(), None)}
        {url}
        {summary}
        <div class="columns top">
            {days}
            <Check completeness found />
        </div>
        {missing}
    }
    .erased()
}
