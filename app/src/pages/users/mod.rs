//! `/admin/users`: accounts and their balances; with `?user=…` one account.

mod account;
mod credits;
mod link;
mod list;
mod points;
mod refund;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::address::USER;
use crate::api::query::{Query, QueryAnswer, use_query};
use crate::components::address_query::use_address_query;
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::components::history::{HistoryOwner, use_history};
use crate::components::pager::{AFTER, use_pages};
use crate::text::use_text;
use account::Account;
use list::List;

#[component]
pub fn UsersPage() -> impl IntoView {
    let text = use_text();
    let address = use_address_query();
    let pages = use_pages(AFTER);
    let user = move || address.get(USER);
    let search = move || address.get("q");
    let found = use_query(move || match user() {
        None => Query::Accounts {
            search: search(),
            cursor: pages.cursor(),
        },
        Some(user) => Query::Account(user),
    });
    let history = use_history(move || {
        user()
            .and_then(|user| user.parse().ok())
            .map(HistoryOwner::User)
    });
    view! {
        <Title text=text.say(|t| t.users.title) />
        {answered(found, move |answer| match answer {
            QueryAnswer::Account(json) => {
                let account = json.read()?;
                Ok(view! { <Account account found history /> }.erased())
            }
            QueryAnswer::Accounts(json) => {
                let page = json.read()?;
                Ok(view! { <List page pages address search=untrack(search) /> }.erased())
            }
            _ => nothing(),
        })}
    }
    .erased()
}
