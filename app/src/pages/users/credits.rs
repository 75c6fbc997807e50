//! What an account's balance is made of, and what is promised to calls.

use leptos::prelude::*;
use shared::api::{CreditItem, Hold};

use crate::components::amount::points_text;
use crate::components::erased::{Erase, phrase, words};
use crate::components::moment::Moment;
use crate::components::table::{
    Head::{Numbers, Words},
    listing,
};
use crate::text::{fill, use_text};

/// Points by where they came from and until when they are good.
#[component]
pub fn Credits(credits: Vec<CreditItem>) -> impl IntoView {
    let text = use_text();
    let is_empty = credits.is_empty();
    let said = text.say(if is_empty {
        |t| t.users.no_credits
    } else {
        |t| t.users.credits_hint
    });
    let table = (!is_empty).then(|| {
        let rows = credits
            .into_iter()
            .map(|credit| credit_row(&credit))
            .collect_view();
        view! {
            <div class="scroll" tabindex="0">
                {listing(
                    |t| t.users.credits,
                    &[
                        Words(|t| t.users.origin),
                        Words(|t| t.users.expires_at),
                        Numbers(|t| t.users.given),
                        Numbers(|t| t.users.left),
                    ],
                    rows,
                )}
            </div>
        }
        .erased()
    });
    view! {
        <section class="card flush" aria-labelledby="credits-title">
            <div class="card-head">
                <h2 id="credits-title">{text.say(|t| t.users.credits)}</h2>
                <p class="quiet small">{said}</p>
            </div>
            {table}
        </section>
    }
    .erased()
}

fn credit_row(credit: &CreditItem) -> AnyView {
    let text = use_text();
    let entry = credit.entry.to_string();
    let is_bought = credit.is_bought;
    let origin = phrase(move || {
        let words = &text.get().users;
        if is_bought {
            words.bought
        } else {
            words.granted
        }
    });
    let until = match credit.expires_at {
        Some(at) => view! { <Moment at /> }.erased(),
        None => view! { {text.say(|t| t.users.for_ever)} }.erased(),
    };
    view! {
        <tr>
            <th scope="row" data-label=text.say(|t| t.users.origin)>
                {origin} " "
                <span class="quiet small nowrap">
                    {words(move || fill(text.get().history.entry_number, &[&entry]))}
                </span>
            </th>
            <td data-label=text.say(|t| t.users.expires_at)>{until}</td>
            <td class="num" data-label=text.say(|t| t.users.given)>
                {points_text(credit.points)}
            </td>
            <td class="num" data-label=text.say(|t| t.users.left)>
                <strong>{points_text(credit.remaining)}</strong>
            </td>
        </tr>
    }
    .erased()
}

/// Points that calls under way may use.
#[component]
pub fn Holds(holds: Vec<Hold>) -> impl IntoView {
    let text = use_text();
    let nothing = holds
        .is_empty()
        .then(|| view! { <p class="quiet small">{text.say(|t| t.users.no_holds)}</p> }.erased());
    let table = (!holds.is_empty()).then(|| {
        let rows = holds.into_iter().map(hold_row).collect_view();
        view! {
            <div class="scroll" tabindex="0">
                {listing(
                    |t| t.users.holds,
                    &[
                        Words(|t| t.common.model),
                        Words(|t| t.users.held_since),
                        Words(|t| t.users.held_until),
                        Numbers(|t| t.common.points),
                    ],
                    rows,
                )}
            </div>
        }
        .erased()
    });
    view! {
        <section class="card flush" aria-labelledby="holds-title">
            <div class="card-head">
                <h2 id="holds-title">{text.say(|t| t.users.holds)}</h2>
                {nothing}
            </div>
            {table}
        </section>
    }
    .erased()
}

fn hold_row(hold: Hold) -> AnyView {
    let text = use_text();
    view! {
        <tr>
            <th
                scope="row"
                class="name"
                title=hold.hold_id
                data-label=text.say(|t| t.common.model)
            >
                {hold.model_name.map_or_else(|| "–".to_owned(), String::from)}
            </th>
            <td data-label=text.say(|t| t.users.held_since)>
                <Moment at=hold.created_at />
            </td>
            <td data-label=text.say(|t| t.users.held_until)>
                <Moment at=hold.expires_at />
            </td>
            <td class="num" data-label=text.say(|t| t.common.points)>
                {points_text(hold.points)}
            </td>
        </tr>
    }
    .erased()
}
