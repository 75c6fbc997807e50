//! An account's figures, large.

use leptos::prelude::*;
use shared::api::ExpiringPoints;
use shared::money::Points;

use crate::components::amount::points_text;
use crate::components::erased::{Erase, words};
use crate::components::moment::Moment;
use crate::text::{fill, use_text};

#[component]
pub fn Figures(
    balance: Points,
    held: Points,
    available: Points,
    /// Points that are only good until a certain time, soonest first.
    #[prop(optional)]
    expiring: Vec<ExpiringPoints>,
) -> impl IntoView {
    let text = use_text();
    let is_in_debt = balance.is_negative();
    view! {
        <section class="card" aria-label=text.say(|t| t.common.balance)>
            <dl class="figures large">
                <div class:negative=is_in_debt>
                    <dt>{text.say(|t| t.common.balance)}</dt>
                    <dd class="num" data-testid="balance">
                        {points_text(balance)}
                    </dd>
                </div>
                <div>
                    <dt>{text.say(|t| t.balance.held)}</dt>
                    <dd class="num" data-testid="held">
                        {points_text(held)}
                    </dd>
                </div>
                <div class:negative=available.is_negative()>
                    <dt>{text.say(|t| t.balance.available)}</dt>
                    <dd class="num" data-testid="available">
                        {points_text(available)}
                    </dd>
                </div>
            </dl>
            {(!expiring.is_empty())
                .then(|| {
                    view! {
                        <ul class="expiring" data-testid="expiring">
                            {expiring.into_iter().map(|part| expiry(&part)).collect_view()}
                        </ul>
                    }
                        .erased()
                })}
            {is_in_debt
                .then(|| {
                    view! { <p class="verdict bad">{text.say(|t| t.balance.in_debt)}</p> }.erased()
                })}
        </section>
    }
    .erased()
}

fn expiry(part: &ExpiringPoints) -> AnyView {
    let text = use_text();
    let points = points_text(part.points);
    view! {
        <li>
            {words(move || fill(text.get().balance.expires, &[&points]))} " "
            <Moment at=part.expires_at />
        </li>
    }
    .erased()
}
