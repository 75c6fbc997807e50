//! Walking through keyset pages: forward by cursor, back by the cursors that led here. They stand
//! in the address, one after the other.

use leptos::prelude::*;

use super::address_query::{AddressQuery, use_address_query};
use super::erased::{Erase, words};
use super::open_items::OPEN;
use crate::text::{Say, fill, use_text};

/// The name of a page's cursor in the address, where a page has one list.
pub const AFTER: &str = "after";

/// Which page of a list is shown.
#[derive(Clone, Copy)]
pub struct Pages {
    address: AddressQuery,
    name: &'static str,
}

/// The pages of the list whose cursor has this name in the address.
#[must_use]
pub fn use_pages(name: &'static str) -> Pages {
    Pages {
        address: use_address_query(),
        name,
    }
}

impl Pages {
    /// The cursor of the page that is shown; `None` for the first, tracked.
    #[must_use]
    pub fn cursor(self) -> Option<String> {
        self.address.all(self.name).pop()
    }
}

/// The ways to the page before and the page after, and the page's number; nothing when there is
/// only one page.
#[component]
pub fn Pager(pages: Pages, next_cursor: Option<String>) -> impl IntoView {
    let text = use_text();
    let Pages { address, name } = pages;
    let cursors = untrack(|| address.all(name));
    let number = (cursors.len() + 1).to_string();
    // What is open on this page is not on another.
    let address_of =
        |cursors: Vec<String>| untrack(|| address.with(&[(name, cursors), (OPEN, Vec::new())]));
    let before = cursors
        .split_last()
        .map(|(_, before)| address_of(before.to_vec()));
    let after = next_cursor.map(|cursor| {
        let mut cursors = cursors.clone();
        cursors.push(cursor);
        address_of(cursors)
    });
    let is_only = before.is_none() && after.is_none();
    view! {
        <nav class="pager" aria-label=text.say(|t| t.common.pages) hidden=is_only>
            {step(before, |t| t.common.previous_page)}
            <span class="quiet">
                {words(move || fill(text.get().common.page_number, &[&number]))}
            </span>
            {step(after, |t| t.common.next_page)}
        </nav>
    }
    .erased()
}

/// A link, or a button that cannot be pressed where it would lead nowhere.
fn step(address: Option<String>, label: Say) -> AnyView {
    let text = use_text();
    match address {
        Some(href) => view! {
            <a class="button" href=href data-noscroll="">
                {text.say(label)}
            </a>
        }
        .erased(),
        None => view! {
            <button type="button" class="button" disabled>
                {text.say(label)}
            </button>
        }
        .erased(),
    }
}
