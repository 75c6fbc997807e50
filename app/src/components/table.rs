//! The frame of a table: what it is called, and what its columns are.

use leptos::prelude::*;

use crate::lean::Lean;
use crate::text::{Say, use_text};

/// What a column is called, and whether it holds numbers.
pub type Head = (Say, bool);

/// `body` holds what follows the heads, in its `<tbody>`. The caption is for screen readers.
pub fn table(class: &'static str, caption: Say, heads: &[Head], body: AnyView) -> AnyView {
    let text = use_text();
    let head = |&(label, is_number): &Head| {
        let class = is_number.then_some("num");
        view! {
            <th scope="col" class=class>
                {text.say(label)}
            </th>
        }
        .lean()
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
    .lean()
}
