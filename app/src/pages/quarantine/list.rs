//! What waits, filtered by reason.

use leptos::html;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::api::{Page, QuarantineItem, QuarantineReason};

use super::reason_label;
use crate::components::amount::count_text;
use crate::components::moment::Moment;
use crate::components::pager::{Pager, Pages};
use crate::components::table::{
    Head::{Numbers, Unseen, Words},
    listing,
};
use crate::lean::{Lean, phrase, submit_with, words};
use crate::pages::users::user_address;
use crate::text::{fill, use_text};

#[component]
pub fn List(
    page: Page<QuarantineItem>,
    pages: Pages,
    reason: Option<QuarantineReason>,
) -> impl IntoView {
    let text = use_text();
    let is_empty = page.items.is_empty();
    let body = if is_empty {
        nothing(reason.is_some())
    } else {
        let rows = page.items.into_iter().map(row).collect_view();
        view! {
            <div class="card flush">
                {listing(
                    |t| t.quarantine.caption,
                    &[
                        Words(|t| t.quarantine.received),
                        Words(|t| t.quarantine.reason),
                        Words(|t| t.common.user),
                        Words(|t| t.common.model),
                        Numbers(|t| t.common.tokens),
                        Words(|t| t.monitor.source),
                        Unseen(|t| t.common.actions),
                    ],
                    rows,
                )}
            </div>
        }
        .lean()
    };
    let filter = (!is_empty || reason.is_some()).then(|| view! { <Filter reason pages /> }.lean());
    view! {
        <div class="page-head">
            <h1>{text.say(|t| t.quarantine.title)}</h1>
        </div>
        <p class="quiet">{text.say(|t| t.quarantine.hint)}</p>
        {filter}
        {body}
        <Pager pages next_cursor=page.next_cursor />
    }
    .lean()
}

fn nothing(is_filtered: bool) -> AnyView {
    let text = use_text();
    if is_filtered {
        view! {
            <section class="card empty">
                <h2>{text.say(|t| t.quarantine.nothing_found)}</h2>
                <p>
                    <a href="/admin/quarantine">{text.say(|t| t.quarantine.show_all)}</a>
                </p>
            </section>
        }
        .lean()
    } else {
        view! {
            <section class="card empty">
                <h2>{text.say(|t| t.quarantine.empty)}</h2>
                <p>{text.say(|t| t.quarantine.empty_hint)}</p>
            </section>
        }
        .lean()
    }
}

/// A GET form: it works without scripts, and the address can be shared.
#[component]
fn Filter(reason: Option<QuarantineReason>, pages: Pages) -> impl IntoView {
    let text = use_text();
    let navigate = use_navigate();
    let chosen = NodeRef::<html::Select>::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if let Some(chosen) = chosen.get_untracked() {
            pages.restart();
            let address = ["/admin/quarantine?reason=", &chosen.value()].concat();
            navigate(&address, NavigateOptions::default());
        }
    };
    let options = QuarantineReason::ALL
        .into_iter()
        .map(|known| {
            view! {
                <option value=known.as_str() selected=reason == Some(known)>
                    {text.say(reason_label(known))}
                </option>
            }
            .lean()
        })
        .collect_view();
    view! {
        <form class="inline" role="search" action="/admin/quarantine" method="get" on:submit=submit_with(submit)>
            <div class="field narrow">
                <label for="reason">{text.say(|t| t.quarantine.reason)}</label>
                <select id="reason" name="reason" node_ref=chosen>
                    <option value="">{text.say(|t| t.quarantine.all_reasons)}</option>
                    {options}
                </select>
            </div>
            <button type="submit" class="button">
                {text.say(|t| t.quarantine.filter)}
            </button>
        </form>
    }
    .lean()
}

fn row(item: QuarantineItem) -> AnyView {
    let text = use_text();
    let or_dash = |value: String| {
        if value.is_empty() {
            "–".to_owned()
        } else {
            value
        }
    };
    let href = ["/admin/quarantine?id=", &item.id].concat();
    let models: Vec<&str> = item
        .model_names
        .iter()
        .map(|model| model.as_str())
        .collect();
    let models = or_dash(models.join(", "));
    let is_read = item.message_id.is_some();
    let tokens = if is_read {
        count_text(item.tokens)
    } else {
        "–".to_owned()
    };
    let message = item.message_id;
    let label = move || {
        let words = &text.get().quarantine;
        fill(
            words.open_message,
            &[message.as_deref().unwrap_or(words.no_message)],
        )
    };
    let user = match item.user_id {
        Some(user) => {
            let name = String::from(user);
            let href = user_address(&name);
            view! { <a href=href>{name}</a> }.lean()
        }
        None => "–".lean(),
    };
    view! {
        <tr data-reason=item.reason.as_str()>
            <td data-label=text.say(|t| t.quarantine.received)>
                <Moment at=item.received_at />
            </td>
            <td data-label=text.say(|t| t.quarantine.reason)>
                {phrase(move || reason_label(item.reason)(text.get()))}
            </td>
            <td class="name" data-label=text.say(|t| t.common.user)>
                {user}
            </td>
            <td class="name" data-label=text.say(|t| t.common.model)>
                {models}
            </td>
            <td class="num" data-label=text.say(|t| t.common.tokens)>
                {tokens}
            </td>
            <td class="name" data-label=text.say(|t| t.monitor.source)>
                {item.source}
            </td>
            <td class="end">
                <a class="button" href=href aria-label=words(label)>
                    {text.say(|t| t.quarantine.open)}
                </a>
            </td>
        </tr>
    }
    .lean()
}
