//! The frame of whatever is listed: its title with what can be done beside it, what it is about, the
//! filter, the rows or what stands in their place, and the way to the other pages.

use leptos::prelude::*;

use super::erased::{Erase, words};
use super::table::{Head, listing};
use crate::text::{Say, use_text};

/// A page that lists something.
#[component]
pub fn ListPage(
    title: Say,
    /// Beside the title.
    #[prop(optional)]
    actions: Option<AnyView>,
    #[prop(optional)] hint: Option<Say>,
    #[prop(optional_no_strip)] filter: Option<AnyView>,
    /// The rows, or what stands in their place.
    list: AnyView,
    #[prop(optional)] pager: Option<AnyView>,
) -> impl IntoView {
    let text = use_text();
    view! {
        <div class="page-head">
            <h1>{text.say(title)}</h1>
            {actions}
        </div>
        {hint.map(|hint| view! { <p class="quiet">{text.say(hint)}</p> }.erased())}
        {filter}
        {list}
        {pager}
    }
    .erased()
}

/// The head of a page about one item of a list: the way back to the list, with its address, the
/// title, and what stands beside it.
pub fn item_head(list: (String, Say), title: AnyView, beside: Option<AnyView>) -> AnyView {
    let text = use_text();
    let (href, back) = list;
    view! {
        <p class="crumb">
            <a href=href>{text.say(back)}</a>
        </p>
        <div class="page-head">
            <h1 class="name">{title}</h1>
            {beside}
        </div>
    }
    .erased()
}

/// The last cell of a row: the way to the item. `spoken` says which one, for who cannot see the row.
pub fn open_cell(
    href: String,
    label: Say,
    spoken: impl FnMut() -> String + Send + 'static,
) -> AnyView {
    let text = use_text();
    view! {
        <td class="end">
            <a class="button" href=href aria-label=words(spoken)>
                {text.say(label)}
            </a>
        </td>
    }
    .erased()
}

/// A part of a page that lists something.
#[component]
pub fn ListSection(
    /// Of the heading; unique in the page.
    id: &'static str,
    title: Say,
    #[prop(optional)] hint: Option<AnyView>,
    #[prop(optional)] filter: Option<AnyView>,
    #[prop(optional_no_strip)] list: Option<AnyView>,
) -> impl IntoView {
    let text = use_text();
    view! {
        <section class="history" aria-labelledby=id>
            <h2 id=id>{text.say(title)}</h2>
            {hint}
            {filter}
            {list}
        </section>
    }
    .erased()
}

/// The rows of a table in a card, or what stands in their place where there are none.
pub fn listed(
    caption: Say,
    heads: &[Head],
    rows: Vec<AnyView>,
    empty: impl FnOnce() -> AnyView,
) -> AnyView {
    if rows.is_empty() {
        return empty();
    }
    view! { <div class="card flush">{listing(caption, heads, rows)}</div> }.erased()
}

/// What stands in the place of rows: that there are none, and what to do about it.
pub fn empty(title: Say, more: AnyView) -> AnyView {
    let text = use_text();
    view! {
        <section class="card empty">
            <h2>{text.say(title)}</h2>
            {more}
        </section>
    }
    .erased()
}

/// As [`empty`], in a sentence.
pub fn nothing_listed(sentence: Say) -> AnyView {
    let text = use_text();
    view! {
        <div class="card empty">
            <p>{text.say(sentence)}</p>
        </div>
    }
    .erased()
}

/// A search or a filter. As a GET form it works without scripts too, and its address can be shared.
pub fn search_form(
    action: &'static str,
    fields: AnyView,
    button: Say,
    submit: impl FnMut(leptos::ev::SubmitEvent) + 'static,
) -> AnyView {
    use super::erased::submit_with;

    let text = use_text();
    view! {
        <form class="inline" role="search" action=action method="get" on:submit=submit_with(submit)>
            {fields}
            <button type="submit" class="button">
                {text.say(button)}
            </button>
        </form>
    }
    .erased()
}
