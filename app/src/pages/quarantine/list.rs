//! What waits, filtered by reason.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::api::{Page, QuarantineItem, QuarantineReason};

use crate::address::{WAITING_ID, user_address, waiting_address};
use crate::components::address_query::AddressQuery;
use crate::components::amount::count_text;
use crate::components::erased::{Erase, phrase};
use crate::components::field::{Select, choice};
use crate::components::list::{ListPage, empty, listed, open_cell, search_form};
use crate::components::moment::Moment;
use crate::components::pager::{Pager, Pages};
use crate::components::reason::reason_label;
use crate::components::table::Head::{Numbers, Unseen, Words};
use crate::text::{fill, use_text};

#[component]
pub fn List(
    page: Page<QuarantineItem>,
    pages: Pages,
    address: AddressQuery,
    reason: Option<QuarantineReason>,
) -> impl IntoView {
    let is_filtered = reason.is_some();
    let filter =
        (!page.items.is_empty() || is_filtered).then(|| view! { <Filter reason /> }.erased());
    let rows = page.items.into_iter().map(|item| row(address, item));
    let list = listed(
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
        rows.collect(),
        || nothing(is_filtered),
    );
    view! {
        <ListPage
            title=|t| t.quarantine.title
            hint=|t| t.quarantine.hint
            filter
            list
            pager=view! { <Pager pages next_cursor=page.next_cursor /> }.erased()
        />
    }
    .erased()
}

fn nothing(is_filtered: bool) -> AnyView {
    let text = use_text();
    if is_filtered {
        let all = view! {
            <p>
                <a href="/admin/quarantine">{text.say(|t| t.quarantine.show_all)}</a>
            </p>
        };
        empty(|t| t.quarantine.nothing_found, all.erased())
    } else {
        let hint = view! { <p>{text.say(|t| t.quarantine.empty_hint)}</p> };
        empty(|t| t.quarantine.empty, hint.erased())
    }
}

#[component]
fn Filter(reason: Option<QuarantineReason>) -> impl IntoView {
    let text = use_text();
    let navigate = use_navigate();
    let chosen =
        RwSignal::new(reason.map_or_else(String::new, |reason| reason.as_str().to_owned()));
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        navigate(
            &waiting_address(&chosen.get_untracked()),
            NavigateOptions::default(),
        );
    };
    let all = choice(
        String::new(),
        move || text.get().quarantine.all_reasons.to_owned(),
        reason.is_none(),
    );
    let reasons = QuarantineReason::ALL.into_iter().map(|known| {
        let label = move || reason_label(known)(text.get()).to_owned();
        choice(known.as_str().to_owned(), label, reason == Some(known))
    });
    let options = std::iter::once(all).chain(reasons).collect_view().erased();
    let field = view! {
        <Select id="reason" label=|t| t.quarantine.reason value=chosen options is_narrow=true />
    };
    search_form(
        "/admin/quarantine",
        field.erased(),
        |t| t.quarantine.filter,
        submit,
    )
}

fn row(address: AddressQuery, item: QuarantineItem) -> AnyView {
    let text = use_text();
    let or_dash = |value: String| {
        if value.is_empty() {
            "–".to_owned()
        } else {
            value
        }
    };
    let href = untrack(|| address.opening(WAITING_ID, item.id.clone()));
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
    let spoken = move || {
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
            view! { <a href=href>{name}</a> }.erased()
        }
        None => "–".erased(),
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
            {open_cell(href, |t| t.quarantine.open, spoken)}
        </tr>
    }
    .erased()
}
