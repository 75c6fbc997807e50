//! `/admin/quarantine`: messages that could not be charged; with `?id=…` one of them.

mod charge;
mod correct;
mod dismiss;
mod done;
mod facts;
mod list;
mod message;

use leptos::prelude::*;
use leptos_meta::Title;
use shared::api::QuarantineReason;

use crate::address::WAITING_ID;
use crate::api::query::{Query, QueryAnswer, use_query};
use crate::components::address_query::use_address_query;
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::components::pager::{AFTER, use_pages};
use crate::text::use_text;
use list::List;
use message::Message;

#[component]
pub fn QuarantinePage() -> impl IntoView {
    let text = use_text();
    let address = use_address_query();
    let pages = use_pages(AFTER);
    let reason = move || {
        let name = address.get("reason")?;
        QuarantineReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == name)
    };
    let found = use_query(move || match address.get(WAITING_ID) {
        None => Query::WaitingMessages {
            reason: reason(),
            cursor: pages.cursor(),
        },
        Some(id) => Query::WaitingMessage(id),
    });
    view! {
        <Title text=text.say(|t| t.quarantine.title) />
        {answered(found, move |answer| match answer {
            QueryAnswer::WaitingMessages(json) => {
                let page = json.read()?;
                Ok(view! { <List page pages address reason=untrack(reason) /> }.erased())
            }
            QueryAnswer::WaitingMessage(json) => {
                let waiting = json.read()?;
                Ok(view! { <Message waiting address /> }.erased())
            }
            _ => nothing(),
        })}
    }
    .erased()
}
