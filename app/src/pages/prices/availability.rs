//! Whether a model's price is switched on.

use leptos::prelude::*;
use shared::price::PriceVersion;

use super::list::ActiveBadge;
use crate::api::price_draft::PriceDraft;
use crate::api::prices::publish_price;
use crate::api::query::QueryResource;
use crate::components::command::Command;
use crate::components::confirm::ConfirmButton;
use crate::components::erased::Erase;
use crate::components::field::FormError;
use crate::components::notice::use_notices;
use crate::text::{fill, use_text};

/// Switches a model's price off or on, which is a new version too.
#[component]
pub fn Availability(version: PriceVersion, versions: QueryResource) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let is_active = version.is_active;
    let name = String::from(version.model_name.clone());
    let switch = Command::new();
    let draft = PriceDraft::of(version);
    let on_confirm = Callback::new(move |()| {
        let (draft, name) = (draft.clone(), name.clone());
        switch.run(async move {
            publish_price(PriceDraft {
                is_active: !is_active,
                ..draft
            })
            .await?;
            let words = &text.now().prices;
            let sentence = if is_active {
                words.notice_deactivated
            } else {
                words.notice_activated
            };
            notices.tell(fill(sentence, &[&name]));
            versions.refetch();
            Ok(())
        });
    });
    let button = if is_active {
        view! {
            <ConfirmButton
                label=|t| t.prices.deactivate
                consequence=|t| t.prices.deactivate_consequence
                confirm=|t| t.prices.deactivate_confirm
                busy=Signal::derive(move || switch.is_pending())
                on_confirm
            />
        }
        .erased()
    } else {
        view! {
            <ConfirmButton
                label=|t| t.prices.activate
                consequence=|t| t.prices.activate_consequence
                confirm=|t| t.prices.activate_confirm
                busy=Signal::derive(move || switch.is_pending())
                on_confirm
            />
        }
        .erased()
    };
    view! {
        <section class="card availability" aria-labelledby="availability-title">
            <h2 id="availability-title">
                {text.say(|t| t.prices.availability)} " " <ActiveBadge is_active />
            </h2>
            {button}
            <FormError error=Signal::derive(move || switch.error()) fields=&[] />
        </section>
    }
    .erased()
}
