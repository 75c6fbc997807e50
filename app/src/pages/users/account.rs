//! One account, as the administrator sees and changes it.

use std::sync::Arc;

use leptos::prelude::*;

use super::credits::{Credits, Holds};
use super::link::Link;
use super::points::{ChangePoints, DebtLimit};
use super::refund::Refund;
use crate::address::{USER, reports_address};
use crate::api::query::QueryResource;
use crate::api::users::AccountView;
use crate::components::erased::Erase;
use crate::components::figures::Figures;
use crate::components::history::{AccountHistory, BelowReceipt, HistorySection};
use crate::components::list::item_head;
use crate::text::use_text;

#[component]
pub fn Account(
    account: AccountView,
    found: QueryResource,
    history: AccountHistory,
) -> impl IntoView {
    let text = use_text();
    let AccountView {
        balance,
        credits,
        holds,
    } = account;
    let name = String::from(balance.user_id);
    // Below a charge's receipt stands who reported it, and what of it can be given back.
    let below_receipt: BelowReceipt = {
        let user = name.clone();
        Arc::new(move |item, left| {
            let (user, entry) = (user.clone(), item.entry);
            let reports = item.consumption.as_ref().map(|consumption| {
                let href = reports_address(&consumption.message_id);
                let label = text.say(|t| t.sources.reports_link);
                view! { <p><a href=href>{label}</a></p> }.erased()
            });
            view! {
                {reports}
                <Refund user entry left found history />
            }
            .erased()
        })
    };
    view! {
        {item_head(
            (history.address_of_list(USER), |t| t.users.back),
            name.clone().erased(),
            None,
        )}
        <Figures balance=balance.balance held=balance.held available=balance.available />
        <div class="columns top">
            <ChangePoints user=name.clone() found history />
            <div class="stack">
                <DebtLimit user=name.clone() limit=balance.debt_limit found />
                <Link user=name />
            </div>
        </div>
        <div class="columns top">
            <Credits credits />
            <Holds holds />
        </div>
        <HistorySection history below_receipt />
    }
    .erased()
}
