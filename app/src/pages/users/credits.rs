//! What an account's balance is made of, and what is promised to calls.

use leptos::prelude::*;
use shared::api::{CreditItem, Hold};

use crate::components::amount::points_text;
use crate::components::moment::Moment;
use crate::lean::{Lean, phrase, words};
use crate::text::{fill, use_text};

/// Points by where they came from and until when they are good.
#[component]
pub fn Credits(credits: Vec<CreditItem>) -> impl IntoView {
    let text = use_text();
    let body = if credits.is_empty() {
        view! { <p class="quiet">{text.say(|t| t.users.no_credits)}</p> }.lean()
    } else {
        let rows = credits
            .into_iter()
            .map(|credit| credit_row(&credit))
            .collect_view();
        view! {
            <p class="quiet small">{text.say(|t| t.users.credits_hint)}</p>
            <div class="scroll" tabindex="0">
                <table class="quote">
                    <caption class="visually-hidden">{text.say(|t| t.users.credits)}</caption>
                    <thead>
                        <tr>
                            <th scope="col">{text.say(|t| t.users.origin)}</th>
                            <th scope="col">{text.say(|t| t.users.expires_at)}</th>
                            <th scope="col" class="num">
                                {text.say(|t| t.users.given)}
                            </th>
                            <th scope="col" class="num">
                                {text.say(|t| t.users.left)}
                            </th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
        .lean()
    };
    view! {
        <section class="card" aria-labelledby="credits-title">
            <h2 id="credits-title">{text.say(|t| t.users.credits)}</h2>
            {body}
        </section>
    }
    .lean()
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
        Some(at) => view! { <Moment at /> }.lean(),
        None => view! { {text.say(|t| t.users.for_ever)} }.lean(),
    };
    view! {
        <tr>
            <th scope="row">
                {origin} " "
                <span class="quiet small nowrap">
                    {words(move || fill(text.get().history.entry_number, &[&entry]))}
                </span>
            </th>
            <td>{until}</td>
            <td class="num">{points_text(credit.points)}</td>
            <td class="num">
                <strong>{points_text(credit.remaining)}</strong>
            </td>
        </tr>
    }
    .lean()
}

/// Points that calls under way may use.
#[component]
pub fn Holds(holds: Vec<Hold>) -> impl IntoView {
    let text = use_text();
    let body = if holds.is_empty() {
        view! { <p class="quiet">{text.say(|t| t.users.no_holds)}</p> }.lean()
    } else {
        let rows = holds.into_iter().map(hold_row).collect_view();
        view! {
            <div class="scroll" tabindex="0">
                <table class="quote">
                    <caption class="visually-hidden">{text.say(|t| t.users.holds)}</caption>
                    <thead>
                        <tr>
                            <th scope="col">{text.say(|t| t.common.model)}</th>
                            <th scope="col">{text.say(|t| t.users.held_since)}</th>
                            <th scope="col">{text.say(|t| t.users.held_until)}</th>
                            <th scope="col" class="num">
                                {text.say(|t| t.common.points)}
                            </th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
        .lean()
    };
    view! {
        <section class="card" aria-labelledby="holds-title">
            <h2 id="holds-title">{text.say(|t| t.users.holds)}</h2>
            {body}
        </section>
    }
    .lean()
}

fn hold_row(hold: Hold) -> AnyView {
    view! {
        <tr>
            <th scope="row" class="name" title=hold.hold_id>
                {String::from(hold.model_name)}
            </th>
            <td>
                <Moment at=hold.created_at />
            </td>
            <td>
                <Moment at=hold.expires_at />
            </td>
            <td class="num">{points_text(hold.points)}</td>
        </tr>
    }
    .lean()
}
