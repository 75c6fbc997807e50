//! One model: the form that publishes its next version, and the versions so far.

use leptos::prelude::*;

use super::availability::Availability;
use super::form::PriceForm;
use super::versions::Versions;
use crate::api::prices::ModelVersions;
use crate::api::query::QueryResource;
use crate::components::erased::{Erase, words};
use crate::components::list::item_head;
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
        {item_head(
            ("/admin/prices".to_owned(), |t| t.prices.back),
            words(title).erased(),
            None,
        )}
        <PriceForm model base expected_version versions />
        {state}
        {history}
    }
    .erased()
}
