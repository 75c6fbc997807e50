//! Who would pay what for the messages that were chosen.

use leptos::prelude::*;
use shared::money::Points;

use crate::api::completeness::{ReviewCost, UserCost};
use crate::components::amount::{count_text, points_text};
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, phrase, press, words};
use crate::components::table::{
    Head::{Numbers, Words},
    table,
};
use crate::text::{fill, use_text};

/// A cost that was computed, and what for.
#[derive(Clone)]
pub struct ReviewResult {
    pub model_name: String,
    pub messages: Vec<String>,
    pub cost: ReviewCost,
}

/// Who would pay what, and the button that makes it so.
#[component]
pub fn Cost(preview: ReviewResult, charge: Command, on_charge: Callback<()>) -> impl IntoView {
    let text = use_text();
    let ReviewResult {
        model_name, cost, ..
    } = preview;
    let ReviewCost { users, unpriced } = cost;
    let waiting = (unpriced != 0).then(|| {
        let count = count_text(unpriced);
        let said = move || fill(text.get().completeness.unpriced, &[&count, &model_name]);
        view! { <p>{words(said)}</p> }.erased()
    });
    let costs = (!users.is_empty()).then(|| costs(users));
    let label = phrase(move || {
        let words = &text.get().quarantine;
        if charge.is_pending() {
            words.charging
        } else {
            words.charge
        }
    });
    view! {
        <section class="card stack" role="status" aria-labelledby="cost-title">
            <h2 id="cost-title">{text.say(|t| t.completeness.would_cost)}</h2>
            {costs}
            {waiting}
            <p class="quiet">{text.say(|t| t.completeness.charge_hint)}</p>
            <div class="actions">
                <button
                    type="button"
                    class="button danger"
                    disabled=flag(move || charge.is_pending())
                    on:click=press(move |_| on_charge.run(()))
                >
                    {label}
                </button>
            </div>
        </section>
    }
    .erased()
}

fn costs(users: Vec<UserCost>) -> AnyView {
    let text = use_text();
    let messages: u64 = users.iter().map(|user| user.messages).sum();
    let points = Points::sum(users.iter().map(|user| user.points));
    let row = |user: UserCost| {
        let name = String::from(user.user_id);
        view! {
            <tr>
                <th scope="row" class="name">
                    {name}
                </th>
                <td class="num">{count_text(user.messages)}</td>
                <td class="num">{points_text(user.points)}</td>
            </tr>
        }
        .erased()
    };
    let body = view! {
        <tbody>{users.into_iter().map(row).collect_view()}</tbody>
        <tfoot>
            <tr>
                <th scope="row">{text.say(|t| t.common.total)}</th>
                <td class="num">{count_text(messages)}</td>
                <td class="num">
                    <strong>{points.map(points_text).unwrap_or_default()}</strong>
                </td>
            </tr>
        </tfoot>
    };
    let heads = [
        Words(|t| t.common.user),
        Numbers(|t| t.rerate.messages),
        Numbers(|t| t.common.points),
    ];
    view! {
        <div class="scroll tall" tabindex="0">
            {table("quote", |t| t.completeness.would_cost, &heads, body.erased())}
        </div>
    }
    .erased()
}
