//! The frame of a table: what it is called, and what its columns are.

use leptos::prelude::*;

use crate::components::erased::Erase;
use crate::text::{Say, use_text};

/// What a column is called.
#[derive(Clone, Copy)]
pub enum Head {
    Words(Say),
    /// Of numbers, which stand at the right.
    Numbers(Say),
    /// Only for screen readers.
    Unseen(Say),
}

/// A list of things, which on a narrow screen stand one below the other.
pub fn listing(caption: Say, heads: &[Head], rows: Vec<AnyView>) -> AnyView {
    table(
        "listing",
        caption,
        heads,
        view! { <tbody>{rows}</tbody> }.erased(),
    )
}

/// `body` holds what follows the heads, in its `<tbody>`. The caption is for screen readers.
pub fn table(class: &'static str, caption: Say, heads: &[Head], body: AnyView) -> AnyView {
    let text = use_text();
    let head = |head: &Head| match *head {
        Head::Words(label) => view! { <th scope="col">{text.say(label)}</th> }.erased(),
        Head::Numbers(label) => view! {
            <th scope="col" class="num">
                {text.say(label)}
            </th>
        }
        .erased(),
        Head::Unseen(label) => view! {
            <th scope="col">
                <span class="visually-hidden">{text.say(label)}</span>
            </th>
        }
        .erased(),
    };
    view! {
        <table class=class>
            <caption class="visually-hidden">{text.say(caption)}</caption>
            <thead>
                <tr>{heads.iter().map(head).collect_view()}</tr>
            </thead>
            {body}
        </table>
    }
    .erased()
}
