//! All accounts, searched by user id.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::api::{AccountSummary, Page};

use crate::address::{USER, search_address, user_address};
use crate::components::address_query::AddressQuery;
use crate::components::amount::points_text;
use crate::components::erased::Erase;
use crate::components::field::Field;
use crate::components::list::{ListPage, empty, listed, open_cell, search_form};
use crate::components::moment::Moment;
use crate::components::pager::{Pager, Pages};
use crate::components::table::Head::{Numbers, Unseen, Words};
use crate::text::{Say, Texts, fill, use_text};

#[component]
pub fn List(
    page: Page<AccountSummary>,
    pages: Pages,
    address: AddressQuery,
    search: Option<String>,
) -> impl IntoView {
    let text = use_text();
    let nobody: Say = if search.is_some() {
        |t: &'static Texts| t.users.nobody_found
    } else {
        |t: &'static Texts| t.users.empty
    };
    let filter = view! {
        <div class="columns">
            <Search search />
            <OpenUser />
        </div>
    };
    let row = |account| account_row(address, account);
    let rows = page.items.into_iter().map(row).collect();
    let list = listed(
        |t| t.users.caption,
        &[
            Words(|t| t.common.user),
            Numbers(|t| t.common.balance),
            Numbers(|t| t.balance.held),
            Words(|t| t.users.last_entry),
            Unseen(|t| t.common.actions),
        ],
        rows,
        || {
            empty(
                nobody,
                view! { <p>{text.say(|t| t.users.empty_hint)}</p> }.erased(),
            )
        },
    );
    view! {
        <ListPage
            title=|t| t.users.title
            filter=Some(filter.erased())
            list
            pager=view! { <Pager pages next_cursor=page.next_cursor /> }.erased()
        />
    }
    .erased()
}

#[component]
fn Search(search: Option<String>) -> impl IntoView {
    let navigate = use_navigate();
    let typed = RwSignal::new(search.unwrap_or_default());
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let address = search_address(typed.get_untracked().trim());
        navigate(&address, NavigateOptions::default());
    };
    let field = view! { <Field id="q" label=|t| t.users.search value=typed kind="search" /> };
    search_form("/admin/users", field.erased(), |t| t.users.find, submit)
}

/// Opens any account, also one that has no entry yet.
#[component]
fn OpenUser() -> impl IntoView {
    let navigate = use_navigate();
    let typed = RwSignal::new(String::new());
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let user = typed.get_untracked();
        if !user.trim().is_empty() {
            navigate(&user_address(user.trim()), NavigateOptions::default());
        }
    };
    let field = view! { <Field id=USER label=|t| t.users.open_label value=typed required=true /> };
    search_form("/admin/users", field.erased(), |t| t.users.open, submit)
}

fn account_row(address: AddressQuery, account: AccountSummary) -> AnyView {
    let text = use_text();
    let name = String::from(account.user_id);
    let href = untrack(|| address.opening(USER, name.clone()));
    let spoken = {
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
            {open_cell(href, |t| t.users.open, spoken)}
        </tr>
    }
    .erased()
}
