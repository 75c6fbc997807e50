//! A model's price versions: who published what, when, and what changed.

use leptos::prelude::*;
use shared::price::{PriceVersion, Rates};

use crate::address::rerate_address;
use crate::api::prices::{ModelVersions, Standing};
use crate::components::amount::{grouped, points_text};
use crate::components::badge::{Badge, Tone};
use crate::components::erased::{Erase, words};
use crate::components::moment::Moment;
use crate::components::table::{Head::Words, listing};
use crate::text::{CategoryTexts, Text, use_text};

#[component]
pub fn Versions(found: ModelVersions) -> impl IntoView {
    let text = use_text();
    let all: Vec<PriceVersion> = found
        .versions
        .iter()
        .map(|(version, _)| version.clone())
        .collect();
    let name = all.first().map(|version| version.model_name.as_str());
    let rerate = rerate_address(name.unwrap_or_default());
    let rows = found
        .versions
        .into_iter()
        .map(|(version, standing)| {
            let before = all
                .iter()
                .find(|earlier| earlier.version == version.version - 1)
                .cloned();
            version_row(version, standing, before)
        })
        .collect_view();
    view! {
        <section class="card flush" aria-labelledby="versions-title">
            <div class="card-head">
                <h2 id="versions-title">{text.say(|t| t.prices.versions)}</h2>
                <a href=rerate>{text.say(|t| t.prices.rerate_past)}</a>
            </div>
            {listing(
                |t| t.prices.versions,
                &[
                    Words(|t| t.prices.version),
                    Words(|t| t.prices.what_changed),
                    Words(|t| t.prices.effective_from),
                    Words(|t| t.prices.published),
                    Words(|t| t.prices.note),
                ],
                rows,
            )}
        </section>
    }
    .erased()
}

fn version_row(version: PriceVersion, standing: Standing, before: Option<PriceVersion>) -> AnyView {
    let text = use_text();
    let number = version.version.to_string();
    let from = match version.effective_from {
        Some(from) => view! { <Moment at=from /> }.erased(),
        None => view! { {text.say(|t| t.prices.since_ever)} }.erased(),
    };
    let published_at = version.created_at;
    let published_by = version.created_by.clone();
    let note = version.note.clone().unwrap_or_else(|| "–".to_owned());
    let changes = move || changes(text, &version, before.as_ref()).join(" · ");
    let standing = match standing {
        Standing::InForce => {
            Some(view! { <Badge tone=Tone::Good label=|t| t.prices.in_force /> }.erased())
        }
        Standing::Scheduled => {
            Some(view! { <Badge tone=Tone::Waiting label=|t| t.prices.scheduled /> }.erased())
        }
        Standing::Past => None,
    };
    view! {
        <tr>
            <th scope="row" data-label=text.say(|t| t.prices.version)>
                {number} " " {standing}
            </th>
            <td data-label=text.say(|t| t.prices.what_changed)>{words(changes)}</td>
            <td data-label=text.say(|t| t.prices.effective_from)>{from}</td>
            <td data-label=text.say(|t| t.prices.published)>
                <Moment at=published_at /> " " <span class="quiet">{published_by}</span>
            </td>
            <td data-label=text.say(|t| t.prices.note)>{note}</td>
        </tr>
    }
    .erased()
}

/// The prices of a version as rows of label and value; an unset category has none.
fn listed(words: &'static CategoryTexts, rates: &Rates) -> [(&'static str, Option<String>); 6] {
    let price =
        |price: Option<shared::money::UnitPrice>| price.map(|price| grouped(&price.to_string()));
    [
        (words.input, price(Some(rates.input))),
        (words.output, price(Some(rates.output))),
        (words.cached_input, price(rates.cached_input)),
        (words.cache_write, price(rates.cache_write)),
        (words.reasoning, price(rates.reasoning)),
        (
            words.per_request,
            (!rates.per_request.is_zero()).then(|| points_text(rates.per_request)),
        ),
    ]
}

/// "Input 30 → 40", or all prices for a first version.
fn changes(text: Text, version: &PriceVersion, before: Option<&PriceVersion>) -> Vec<String> {
    let words = text.get();
    let now = listed(&words.category, &version.rates);
    let Some(before) = before else {
        return now
            .into_iter()
            .filter_map(|(label, value)| Some([label, " ", &value?].concat()))
            .collect();
    };
    let earlier = listed(&words.category, &before.rates);
    let dash = || "–".to_owned();
    let mut changes: Vec<String> = now
        .into_iter()
        .zip(earlier)
        .filter(|((_, new), (_, old))| new != old)
        .map(|((label, new), (_, old))| {
            [
                label,
                " ",
                &old.unwrap_or_else(dash),
                " → ",
                &new.unwrap_or_else(dash),
            ]
            .concat()
        })
        .collect();
    if version.is_active != before.is_active {
        changes.push(
            if version.is_active {
                words.prices.was_activated
            } else {
                words.prices.was_deactivated
            }
            .to_owned(),
        );
    }
    if changes.is_empty() {
        changes.push(words.prices.nothing_changed.to_owned());
    }
    changes
}
