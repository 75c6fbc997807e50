//! An account's figures, large.

use leptos::prelude::*;
use shared::money::Points;

use crate::components::amount::points_text;
use crate::lean::Lean;
use crate::text::use_text;

#[component]
pub fn Figures(balance: Points, held: Points, available: Points) -> impl IntoView {
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
            {is_in_debt
                .then(|| {
                    view! { <p class="verdict bad">{text.say(|t| t.balance.in_debt)}</p> }.lean()
                })}
        </section>
    }
    .lean()
}
