//! The entries of one page, each charge with its receipt.

use std::sync::Arc;

use leptos::prelude::*;
use shared::api::{EntryKind, HistoryFilter, HistoryItem};
use shared::money::Points;

use super::account::{AccountHistory, BelowReceipt};
use crate::api::history::{HistoryView, Origin, VersionRates, what_of};
use crate::components::amount::{points_text, signed_points_text};
use crate::components::badge::{Badge, kind_label, kind_tone};
use crate::components::erased::{Erase, Item, list, words};
use crate::components::list::nothing_listed;
use crate::components::moment::Moment;
use crate::components::open_items::open_item;
use crate::components::pager::Pager;
use crate::components::receipt::receipt;
use crate::text::{fill, use_text};

#[component]
pub fn Entries(
    view: HistoryView,
    history: AccountHistory,
    below_receipt: Option<BelowReceipt>,
) -> impl IntoView {
    let HistoryView {
        items,
        next_cursor,
        rates,
        origins,
        refundable,
    } = view;
    let rates: Arc<[VersionRates]> = rates.into();
    let origins: Arc<[Origin]> = origins.into();
    let left_of = move |entry: i64| {
        let found = refundable.iter().find(|(charge, _)| *charge == entry);
        found.map(|(_, left)| *left)
    };
    let body = if items.is_empty() {
        let is_filtered = untrack(|| history.filter()) != HistoryFilter::default();
        nothing_listed(if is_filtered {
            |t| t.history.nothing_found
        } else {
            |t| t.history.empty
        })
    } else {
        view! {
            <ul class="entries card flush">
                {list(move || {
                    let shown = |item: &HistoryItem| {
                        let (item, rates) = (item.clone(), Arc::clone(&rates));
                        let origins = Arc::clone(&origins);
                        // What cost nothing cannot be given back.
                        let left = left_of(item.entry).filter(|_| !item.points.is_zero());
                        let below = below_receipt.clone().zip(left);
                        Item {
                            // A refund changes what can be given back, and so the view.
                            key: [item.entry.to_string(), left.unwrap_or_default().to_string()]
                                .join(" "),
                            view: Box::new(move || {
                                entry(history, &item, &rates, &origins, below)
                            }),
                        }
                    };
                    items.iter().map(shown).collect()
                })}
            </ul>
        }
        .erased()
    };
    view! {
        {body}
        <Pager pages=history.pages next_cursor />
    }
    .erased()
}

/// The line that says which entry this one is about.
fn origin_line(item: &HistoryItem, origins: &[Origin]) -> Option<AnyView> {
    let text = use_text();
    let entry = item.corrects_entry?;
    let number = entry.to_string();
    let origin = origins.iter().find(|origin| origin.entry == entry);
    let what = origin.map(|origin| origin.what.clone()).unwrap_or_default();
    let points = origin
        .map(|origin| signed_points_text(origin.points))
        .unwrap_or_default();
    let gone = points_text(item.points.negated().unwrap_or_default());
    let kind = item.kind;
    let said = words(move || {
        let words = &text.get().history;
        match kind {
            EntryKind::Expiry => fill(words.of_points, &[&number, &what, &gone]),
            _ if what.is_empty() => fill(words.of_entry, &[&number]),
            _ => fill(words.of_charge, &[&number, &what, &points]),
        }
    });
    Some(view! { <span class="entry-origin quiet small">{said}</span> }.erased())
}

fn entry(
    history: AccountHistory,
    item: &HistoryItem,
    rates: &[VersionRates],
    origins: &[Origin],
    below: Option<(BelowReceipt, Points)>,
) -> AnyView {
    let text = use_text();
    let what = what_of(item);
    let number = item.entry.to_string();
    let origin = origin_line(item, origins);
    let signed = signed_points_text(item.points);
    let balance = points_text(item.balance_after);
    let (kind, occurred_at) = (item.kind, item.occurred_at);
    let is_charge = item.consumption.is_some();
    let lines = view! {
        <span class="entry-head">
            <Badge tone=kind_tone(kind) label=kind_label(kind) />
            <span class="name">{what}</span>
            <span class="num amount">{signed}</span>
        </span>
        {origin}
        <span class="entry-foot quiet small">
            <Moment at=occurred_at />
            <span class="nowrap">
                {words(move || fill(text.get().history.entry_number, &[&number]))}
            </span>
            {is_charge
                .then(|| view! { <span class="opens">{text.say(|t| t.receipt.title)}</span> }.erased())}
            <span class="after">
                {text.say(|t| t.history.balance_after)} " " <span class="num">{balance}</span>
            </span>
        </span>
    };
    let body = match item.consumption.clone() {
        Some(detail) => {
            let charged = item.points.negated().unwrap_or_default();
            let below = below.map(|(below, left)| {
                view! { <div class="below-receipt">{below(item, left)}</div> }.erased()
            });
            let more = view! {
                {receipt(detail, charged, rates)}
                {below}
            };
            let item = item.entry.to_string();
            open_item(history.address, item, lines.erased(), more.erased())
        }
        None => lines.erased(),
    };
    view! {
        <li class="entry" data-kind=kind.as_str()>
            {body}
        </li>
    }
    .erased()
}
