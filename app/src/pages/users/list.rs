//! All accounts, searched by user id.

use leptos::html;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use leptos_router::location::Url;
use shared::api::{AccountSummary, Page};

use super::user_address;
use crate::components::amount::points_text;
use crate::components::moment::Moment;
use crate::components::pager::{Pager, Pages};
use crate::components::table::{
    Head::{Numbers, Unseen, Words},
    listing,
};
use crate::lean::{Lean, phrase, submit_with, words};
use crate::text::{fill, use_text};

#[component]
pub fn List(page: Page<AccountSummary>, pages: Pages, search: Option<String>) -> impl IntoView {
    let text = use_text();
    let is_search = search.is_some();
    let body = if page.items.is_empty() {
        let said = move || {
            let words = &text.get().users;
            if is_search {
                words.nobody_found
            } else {
                words.empty
            }
        };
        view! {
            <section class="card empty">
                <h2>{phrase(said)}</h2>
                <p>{text.say(|t| t.users.empty_hint)}</p>
            </section>
        }
        .lean()
    } else {
        let rows = page.items.into_iter().map(account_row).collect_view();
        view! {
            <div class="card flush">
                {listing(
                    |t| t.users.caption,
                    &[
                        Words(|t| t.common.user),
                        Numbers(|t| t.common.balance),
                        Numbers(|t| t.balance.held),
                        Words(|t| t.users.last_entry),
                        Unseen(|t| t.common.actions),
                    ],
                    rows,
                )}
            </div>
        }
        .lean()
    };
    view! {
        <div class="page-head">
            <h1>{text.say(|t| t.users.title)}</h1>
        </div>
        <div class="columns">
            <Search search pages />
            <OpenUser />
        </div>
        {body}
        <Pager pages next_cursor=page.next_cursor />
    }
    .lean()
}

/// A GET form: it works without scripts, and the address can be shared.
#[component]
fn Search(search: Option<String>, pages: Pages) -> impl IntoView {
    let text = use_text();
    let navigate = use_navigate();
    let input = NodeRef::<html::Input>::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if let Some(input) = input.get_untracked() {
            pages.restart();
            let address = ["/admin/users?q=", &Url::escape(input.value().trim())].concat();
            navigate(&address, NavigateOptions::default());
        }
    };
    view! {
        <form class="inline" role="search" action="/admin/users" method="get" on:submit=submit_with(submit)>
            <div class="field">
                <label for="q">{text.say(|t| t.users.search)}</label>
                <input id="q" name="q" type="search" value=search node_ref=input />
            </div>
            <button type="submit" class="button">
                {text.say(|t| t.users.find)}
            </button>
        </form>
    }
    .lean()
}

/// Opens any account, also one that has no entry yet.
#[component]
fn OpenUser() -> impl IntoView {
    let text = use_text();
    let navigate = use_navigate();
    let input = NodeRef::<html::Input>::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if let Some(input) = input.get_untracked() {
            let user = input.value();
            if !user.trim().is_empty() {
                let address = user_address(user.trim());
                navigate(&address, NavigateOptions::default());
            }
        }
    };
    view! {
        <form class="inline" action="/admin/users" method="get" on:submit=submit_with(submit)>
            <div class="field">
                <label for="user">{text.say(|t| t.users.open_label)}</label>
                <input
                    id="user"
                    name="user"
                    type="text"
                    autocomplete="off"
                    spellcheck="false"
                    required
                    node_ref=input
                />
            </div>
            <button type="submit" class="button">
                {text.say(|t| t.users.open)}
            </button>
        </form>
    }
    .lean()
}

fn account_row(account: AccountSummary) -> AnyView {
    let text = use_text();
    let name = String::from(account.user_id);
    let href = user_address(&name);
    let label = {
        let name = name.clone();
        move || fill(text.get().users.open_user, &[&name])
    };
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.common.user)>
                {name}
            </th>
            <td
                class="num"
                class:negative=account.balance.is_negative()
                data-label=text.say(|t| t.common.balance)
            >
                {points_text(account.balance)}
            </td>
            <td class="num" data-label=text.say(|t| t.balance.held)>
                {points_text(account.held)}
            </td>
            <td data-label=text.say(|t| t.users.last_entry)>
                <Moment at=account.updated_at />
            </td>
            <td class="end">
                <a class="button" href=href aria-label=words(label)>
                    {text.say(|t| t.users.open)}
                </a>
            </td>
        </tr>
    }
    .lean()
}
