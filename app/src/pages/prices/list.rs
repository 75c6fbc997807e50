//! All models and what they cost now.

use leptos::prelude::*;
use shared::price::PriceVersion;
use shared::tokens::Category;

use crate::address::price_address;
use crate::api::prices::ModelPrice;
use crate::components::amount::{grouped, points_text};
use crate::components::badge::{Badge, Tone};
use crate::components::erased::{Erase, words};
use crate::components::list::{ListPage, empty, listed, open_cell};
use crate::components::moment::Moment;
use crate::components::table::Head::{Numbers, Unseen, Words};
use crate::text::{Text, fill, use_text};

#[component]
pub fn List(prices: Vec<ModelPrice>) -> impl IntoView {
    let text = use_text();
    let actions = view! {
        <a class="button" href="/admin/prices/rerate">
            {text.say(|t| t.prices.rerate_past)}
        </a>
        <a class="button primary" href="/admin/prices?new=1">
            {text.say(|t| t.prices.add)}
        </a>
    };
    let rows = prices.into_iter().map(model_row).collect();
    let list = listed(
        |t| t.prices.caption,
        &[
            Words(|t| t.common.model),
            Numbers(|t| t.category.input),
            Numbers(|t| t.category.output),
            Words(|t| t.prices.more),
            Words(|t| t.prices.state),
            Words(|t| t.prices.version),
            Unseen(|t| t.common.actions),
        ],
        rows,
        || {
            let hint = view! { <p>{text.say(|t| t.prices.empty_hint)}</p> };
            empty(|t| t.prices.empty, hint.erased())
        },
    );
    view! {
        <ListPage
            title=|t| t.prices.title
            actions=actions.erased()
            hint=|t| t.prices.unit
            filter=None
            list
        />
    }
    .erased()
}

fn model_row(price: ModelPrice) -> AnyView {
    let text = use_text();
    let ModelPrice { current, scheduled } = price;
    let name = String::from(current.model_name.clone());
    let href = price_address(&name);
    let more = more_rates(text, &current);
    let version = current.version.to_string();
    let spoken = {
        let name = name.clone();
        move || fill(text.get().prices.change_model, &[&name])
    };
    let scheduled = scheduled.and_then(|next| {
        let from = next.effective_from?;
        let rates = [
            &grouped(&next.rates.input.to_string()),
            " / ",
            &grouped(&next.rates.output.to_string()),
        ]
        .concat();
        Some(
            view! {
                <span class="why">
                    {text.say(|t| t.prices.scheduled)} " " <Moment at=from /> " " {rates}
                </span>
            }
            .erased(),
        )
    });
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.common.model)>
                {name}
            </th>
            <td class="num" data-label=text.say(|t| t.category.input)>
                {grouped(&current.rates.input.to_string())}
            </td>
            <td class="num" data-label=text.say(|t| t.category.output)>
                {grouped(&current.rates.output.to_string())}
            </td>
            <td data-label=text.say(|t| t.prices.more)>{words(more)}</td>
            <td data-label=text.say(|t| t.prices.state)>
                <ActiveBadge is_active=current.is_active /> {scheduled}
            </td>
            <td data-label=text.say(|t| t.prices.version)>
                {version} " " <span class="quiet small"><Moment at=current.created_at /></span>
            </td>
            {open_cell(href, |t| t.prices.change, spoken)}
        </tr>
    }
    .erased()
}

#[component]
pub fn ActiveBadge(is_active: bool) -> impl IntoView {
    if is_active {
        view! { <Badge tone=Tone::Good label=|t| t.prices.active /> }.erased()
    } else {
        view! { <Badge tone=Tone::Waiting label=|t| t.prices.inactive /> }.erased()
    }
}

/// The prices beyond input and output, in one line; a dash when there are none.
pub fn more_rates(
    text: Text,
    version: &PriceVersion,
) -> impl Fn() -> String + Send + Sync + 'static {
    let rates = version.rates;
    move || {
        let words = &text.get().category;
        let mut parts = Vec::new();
        for (label, category, is_own) in [
            (
                words.cached_input,
                Category::CachedInput,
                rates.cached_input.is_some(),
            ),
            (
                words.cache_write,
                Category::CacheWrite,
                rates.cache_write.is_some(),
            ),
            (
                words.reasoning,
                Category::Reasoning,
                rates.reasoning.is_some(),
            ),
        ] {
            if is_own {
                parts.push([label, " ", &grouped(&rates.of(category).to_string())].concat());
            }
        }
        if !rates.per_request.is_zero() {
            parts.push([words.per_request, " ", &points_text(rates.per_request)].concat());
        }
        if parts.is_empty() {
            "–".to_owned()
        } else {
            parts.join(" · ")
        }
    }
}
