//! What the models charge, beside each other.

use leptos::prelude::*;
use shared::money::Points;
use shared::quote::Quote;

use crate::components::amount::{percent, points_text};
use crate::components::erased::{Erase, part, words};
use crate::components::receipt::QuoteTable;
use crate::text::use_text;

/// One row of the comparison: a model's name (`None` for typed rates) and its charge (`None` when
/// it does not fit the ledger).
pub type Compared = Option<Vec<(Option<String>, Option<Quote>)>>;

#[component]
pub fn Comparison(compared: Signal<Compared>) -> impl IntoView {
    let text = use_text();
    let body = move || match compared.get() {
        None => view! { <p class="quiet">{text.say(|t| t.calculator.fix_fields)}</p> }.erased(),
        Some(rows) if rows.is_empty() => {
            view! { <p class="quiet">{text.say(|t| t.calculator.pick_one)}</p> }.erased()
        }
        Some(rows) => {
            let dearest = rows
                .iter()
                .filter_map(|(_, quote)| quote.as_ref().map(|quote| quote.points))
                .max()
                .unwrap_or_default();
            rows.into_iter()
                .map(|(name, quote)| compared_row(name, quote, dearest))
                .collect_view()
                .erased()
        }
    };
    view! {
        <section class="card comparison" aria-labelledby="comparison-title">
            <h2 id="comparison-title">{text.say(|t| t.calculator.comparison)}</h2>
            {part(body)}
        </section>
    }
    .erased()
}

fn compared_row(name: Option<String>, quote: Option<Quote>, dearest: Points) -> AnyView {
    let text = use_text();
    let caption = name.clone().unwrap_or_default();
    let name = move || match &name {
        Some(name) => name.clone(),
        None => text.get().calculator.own.to_owned(),
    };
    let Some(quote) = quote else {
        return view! {
            <div class="compared">
                <p class="compared-head">
                    <span class="name">{words(name)}</span>
                    <span class="error">{text.say(|t| t.reason.overflow)}</span>
                </p>
            </div>
        }
        .erased();
    };
    let style = ["width:", &percent(quote.points, dearest).to_string(), "%"].concat();
    view! {
        <details class="compared">
            <summary>
                <span class="compared-head">
                    <span class="name">{words(name)}</span>
                    <span class="num">
                        <strong>{points_text(quote.points)}</strong>
                        " "
                        <span class="quiet small">{text.say(|t| t.common.points_unit)}</span>
                    </span>
                </span>
                <span class="bar-track" aria-hidden="true">
                    <span class="bar-fill" style=style></span>
                </span>
            </summary>
            <QuoteTable
                lines=quote.lines
                per_request=quote.per_request
                total=quote.points
                caption=caption
            />
        </details>
    }
    .erased()
}
