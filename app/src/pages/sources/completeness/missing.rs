//! What Dify served and nobody reported, to choose from.

use leptos::prelude::*;
use shared::api::ServedMessage;

use super::choice::MissingChoice;
use super::results::{Reviewed, reviewed_part};
use super::review::Review;
use crate::address::user_address;
use crate::api::query::QueryResource;
use crate::components::address_query::AddressQuery;
use crate::components::amount::count_text;
use crate::components::erased::{Erase, flag, part, words};
use crate::components::list::{ListSection, nothing_listed};
use crate::components::moment::Moment;
use crate::components::table::{
    Head::{Numbers, Words},
    table,
};
use crate::text::{fill, use_text};

/// The name in the address of the wish to see all rows.
pub const ALL: &str = "all";
/// Shown at first; the rest is a click away.
const ROWS_AT_FIRST: usize = 100;
/// The ledger lists no more.
const MESSAGES_MAX: usize = 1000;

#[component]
pub fn Missing(
    source: String,
    messages: Vec<ServedMessage>,
    model_name: Option<String>,
    models: Vec<String>,
    address: AddressQuery,
    found: QueryResource,
    reviewed: RwSignal<Option<Reviewed>>,
) -> impl IntoView {
    let text = use_text();
    let result = reviewed_part(source.clone(), reviewed);
    let body = if messages.is_empty() {
        nothing_listed(|t| t.completeness.nothing_missing)
    } else {
        let choice = |message| MissingChoice {
            message,
            is_picked: RwSignal::new(false),
        };
        let choices: Vec<MissingChoice> = messages.into_iter().map(choice).collect();
        let can_be_charged = choices.iter().any(MissingChoice::can_be_charged);
        let review = can_be_charged.then(|| {
            let choices = choices.clone();
            view! { <Review source choices model_name models found reviewed /> }.erased()
        });
        view! {
            <p class="quiet prose">{text.say(|t| t.completeness.missing_hint)}</p>
            <Choices choices address />
            {review}
        }
        .erased()
    };
    view! {
        <ListSection id="missing-title" title=|t| t.completeness.missing list=Some(body) />
        {result}
    }
    .erased()
}

/// The list, with a box to tick for each.
#[component]
fn Choices(choices: Vec<MissingChoice>, address: AddressQuery) -> impl IntoView {
    let text = use_text();
    let is_short = choices.len() <= ROWS_AT_FIRST;
    let are_all_shown = Memo::new(move |_| is_short || !address.all(ALL).is_empty());
    let count = count_text(u64::try_from(choices.len()).unwrap_or(u64::MAX));
    let all = pick_all(&choices);
    let is_cut = choices.len() >= MESSAGES_MAX;
    let listed = count.clone();
    let cut = is_cut.then(|| {
        let said = move || fill(text.get().completeness.cut, &[&listed]);
        view! { <p class="quiet small">{words(said)}</p> }.erased()
    });
    let (first, rest) = match choices.split_at_checked(ROWS_AT_FIRST) {
        Some((first, rest)) => (first.to_vec(), rest.to_vec()),
        None => (choices, Vec::new()),
    };
    let rest = part(move || {
        if are_all_shown.get() {
            rest.iter().map(row).collect_view().erased()
        } else {
            ().erased()
        }
    });
    let heads = [
        Words(|t| t.receipt.message),
        Words(|t| t.common.user),
        Words(|t| t.common.time),
        Numbers(|t| t.common.tokens),
    ];
    let body = view! { <tbody>{first.iter().map(row).collect_view()} {rest}</tbody> };
    view! {
        <div class="card flush">
            {all} {table("listing", |t| t.completeness.missing, &heads, body.erased())}
        </div>
        {show_rest(are_all_shown, address, count)}
        {cut}
    }
    .erased()
}

/// The box that ticks all others; `None` where none can be ticked.
fn pick_all(choices: &[MissingChoice]) -> Option<AnyView> {
    let text = use_text();
    let chargeable: Vec<_> = choices
        .iter()
        .filter(|choice| choice.can_be_charged())
        .map(|choice| choice.is_picked)
        .collect();
    if chargeable.is_empty() {
        return None;
    }
    let count = count_text(u64::try_from(chargeable.len()).unwrap_or(u64::MAX));
    let picked = chargeable.clone();
    let is_all = flag(move || picked.iter().all(|is_picked| is_picked.get()));
    let pick_all = move |event: leptos::ev::Event| {
        let is_ticked = event_target_checked(&event);
        for is_picked in &chargeable {
            is_picked.set(is_ticked);
        }
    };
    Some(
        view! {
            <div class="card-head">
                <label class="pick">
                    <input type="checkbox" prop:checked=is_all on:change=pick_all />
                    <span>{words(move || fill(text.get().completeness.pick_all, &[&count]))}</span>
                </label>
            </div>
        }
        .erased(),
    )
}

/// The way to all rows below the first, while they are not all there are.
fn show_rest(are_all_shown: Memo<bool>, address: AddressQuery, count: String) -> AnyView {
    let text = use_text();
    part(move || {
        if are_all_shown.get() {
            return ().erased();
        }
        let count = count.clone();
        let said = move || fill(text.get().completeness.show_all, &[&count]);
        let href = untrack(|| address.with(&[(ALL, vec!["1".to_owned()])]));
        view! {
            <p class="actions">
                <a class="button" href=href data-noscroll="">
                    {words(said)}
                </a>
            </p>
        }
        .erased()
    })
    .erased()
}

fn row(choice: &MissingChoice) -> AnyView {
    let text = use_text();
    let is_picked = choice.is_picked;
    let can_be_charged = choice.can_be_charged();
    let ServedMessage {
        message_id,
        user_id,
        conversation_id,
        occurred_at,
        input_tokens,
        output_tokens,
    } = choice.message.clone();
    let user = String::from(user_id);
    let href = user_address(&user);
    let tokens = match (input_tokens.map(count_text), output_tokens.map(count_text)) {
        (Some(input), Some(output)) => [&input, " + ", &output].concat().erased(),
        (Some(total), None) => {
            words(move || fill(text.get().completeness.tokens_in_all, &[&total])).erased()
        }
        (None, _) => text.say(|t| t.completeness.tokens_unknown).erased(),
    };
    let conversation = conversation_id.map(|id| {
        view! {
            <span class="quiet detail">
                {text.say(|t| t.receipt.conversation)} " " <code>{id}</code>
            </span>
        }
        .erased()
    });
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.receipt.message)>
                <label class="pick">
                    <input
                        type="checkbox"
                        disabled=!can_be_charged
                        prop:checked=flag(move || is_picked.get())
                        on:change=move |event| is_picked.set(event_target_checked(&event))
                    />
                    <code>{message_id}</code>
                </label>
                {conversation}
            </th>
            <td class="name" data-label=text.say(|t| t.common.user)>
                <a href=href>{user}</a>
            </td>
            <td data-label=text.say(|t| t.common.time)>
                <Moment at=occurred_at />
            </td>
            <td class="num" class:quiet=!can_be_charged data-label=text.say(|t| t.common.tokens)>
                {tokens}
            </td>
        </tr>
    }
    .erased()
}
