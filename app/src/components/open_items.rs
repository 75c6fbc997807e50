//! What is open within a list stands in the address: a reload and a copied link show the same, and
//! Back closes it again.

use leptos::ev::Event;
use leptos::prelude::*;
use leptos::web_sys::Element;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use super::address_query::AddressQuery;
use super::erased::{Erase, flag};

/// The name in the address of the items that are open.
pub const OPEN: &str = "open";

/// An item of a list with more about it, which is shown once the item is opened.
///
/// `item` is unique in the list. The browser opens and closes it by itself, also before hydration
/// and when it finds a word in it; the address follows.
pub fn open_item(address: AddressQuery, item: String, summary: AnyView, more: AnyView) -> AnyView {
    let navigate = use_navigate();
    let is_open = {
        let item = item.clone();
        move || address.all(OPEN).contains(&item)
    };
    let follow = {
        let is_open = is_open.clone();
        move |event: Event| {
            let is_open_now = event_target::<Element>(&event).has_attribute("open");
            if is_open_now == untrack(&is_open) {
                return;
            }
            let mut open = untrack(|| address.all(OPEN));
            open.retain(|other| *other != item);
            if is_open_now {
                open.push(item.clone());
            }
            let options = NavigateOptions {
                scroll: false,
                ..NavigateOptions::default()
            };
            navigate(&untrack(|| address.with(&[(OPEN, open)])), options);
        }
    };
    view! {
        <details open=flag(is_open) on:toggle=follow>
            <summary>{summary}</summary>
            {more}
        </details>
    }
    .erased()
}
