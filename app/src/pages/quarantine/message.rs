//! One message that waits: what is wrong with it, and what can be done.

use leptos::prelude::*;
use shared::api::{QuarantineDetail, QuarantineReason, QuarantineStatus};
use shared::ids::ModelName;
use shared::money::Points;

use super::charge::Charge;
use super::correct::Correct;
use super::dismiss::Dismiss;
use super::facts::Facts;
use crate::address::{WAITING_ID, price_address};
use crate::api::quarantine::WaitingMessage;
use crate::components::address_query::AddressQuery;
use crate::components::amount::count_text;
use crate::components::badge::{Badge, Tone};
use crate::components::erased::{Erase, phrase, words};
use crate::components::list::item_head;
use crate::components::moment::Moment;
use crate::components::reason::reason_label;
use crate::text::{Text, fill, use_text};

#[component]
pub fn Message(waiting: WaitingMessage, address: AddressQuery) -> impl IntoView {
    let text = use_text();
    let list = untrack(|| address.closing(WAITING_ID));
    let WaitingMessage {
        detail,
        cost,
        unpriced,
    } = waiting;
    let is_waiting = detail.status == QuarantineStatus::Waiting;
    let wrong = {
        let detail = detail.clone();
        let model = unpriced
            .first()
            .or_else(|| detail.item.model_names.first())
            .map(|model| model.as_str().to_owned())
            .unwrap_or_default();
        words(move || explanation(text, &detail, &model))
    };
    let prices = (is_waiting && detail.item.reason == QuarantineReason::UnknownModel)
        .then(|| price_links(&unpriced));
    let actions = is_waiting.then(|| actions(&detail, cost, unpriced.is_empty()));
    let title = phrase(move || {
        let words = &text.get().quarantine;
        if is_waiting {
            words.one_title
        } else {
            words.one_done
        }
    });
    view! {
        {item_head(
            (list, |t| t.quarantine.back),
            title.erased(),
            Some(view! { <Status status=detail.status /> }.erased()),
        )}
        <section class="card" aria-labelledby="wrong-title">
            <h2 id="wrong-title">{text.say(reason_label(detail.item.reason))}</h2>
            <p class="prose">{wrong}</p>
            {prices}
            {resolution(&detail)}
        </section>
        {actions}
        {body(&detail)}
    }
    .erased()
}

/// The way to the price of each model that has none.
fn price_links(unpriced: &[ModelName]) -> Option<AnyView> {
    let text = use_text();
    let link = |model: &ModelName| {
        let name = model.as_str().to_owned();
        let href = price_address(&name);
        view! {
            <a class="button primary" href=href>
                {words(move || fill(text.get().quarantine.set_price, &[&name]))}
            </a>
        }
        .erased()
    };
    let links = unpriced.iter().map(link).collect_view();
    (!unpriced.is_empty()).then(|| view! { <div class="actions">{links}</div> }.erased())
}

/// What can be done, the likeliest first. `cost` is that of the message as it was reported.
fn actions(detail: &QuarantineDetail, cost: Option<Points>, is_priced: bool) -> [AnyView; 2] {
    let id = detail.item.id.clone();
    let user = detail.item.user_id.clone().map(String::from);
    let user = user.unwrap_or_default();
    let charge = cost.map(|cost| view! { <Charge id=id.clone() user cost /> }.erased());
    // What only a person can put right is offered at once.
    let is_open = cost.is_none() && is_priced || detail.item.reason == QuarantineReason::ZeroUsage;
    let usage = detail.usage.clone();
    let correct = view! { <Correct id=id.clone() usage is_open /> }.erased();
    let others = view! {
        <div class="columns top">{charge} <Dismiss id /></div>
    }
    .erased();
    if is_open {
        [correct, others]
    } else {
        [others, correct]
    }
}

/// What was read of it, and all of it as it came.
fn body(detail: &QuarantineDetail) -> AnyView {
    let text = use_text();
    let not_text = detail
        .body_base64
        .is_some()
        .then(|| view! { <p class="quiet">{text.say(|t| t.quarantine.not_text)}</p> }.erased());
    view! {
        <section class="card" aria-labelledby="facts-title">
            <h2 id="facts-title">{text.say(|t| t.quarantine.facts)}</h2>
            <Facts detail=detail.clone() />
        </section>
        <section class="card" aria-labelledby="body-title">
            <h2 id="body-title">{text.say(|t| t.quarantine.body)}</h2>
            {not_text}
            <pre class="body" tabindex="0" aria-labelledby="body-title">
                <code>{detail.item.body.clone()}</code>
            </pre>
        </section>
    }
    .erased()
}

/// What is wrong, in words, and what to do about it.
fn explanation(text: Text, detail: &QuarantineDetail, model: &str) -> String {
    let words = &text.get().quarantine;
    let counted = count_text(detail.item.tokens);
    match detail.item.reason {
        QuarantineReason::UnknownModel => fill(words.unknown_model, &[model]),
        QuarantineReason::InactivePrice => fill(words.inactive_price, &[model]),
        QuarantineReason::ContradictoryTokens => {
            let total = detail.usage.as_ref().and_then(|usage| usage.reported_total);
            let total = total.map(count_text).unwrap_or_default();
            fill(words.contradictory_tokens, &[&total, &counted])
        }
        QuarantineReason::ZeroUsage => words.zero_usage.to_owned(),
        QuarantineReason::TooManyTokens => fill(words.too_many_tokens, &[&counted]),
        QuarantineReason::Overflow => words.overflow.to_owned(),
        QuarantineReason::Unreadable => words.unreadable.to_owned(),
        QuarantineReason::IncompleteTrace => words.incomplete_trace.to_owned(),
        QuarantineReason::AnotherUser => words.another_user.to_owned(),
    }
}

#[component]
fn Status(status: QuarantineStatus) -> impl IntoView {
    match status {
        QuarantineStatus::Waiting => {
            view! { <Badge tone=Tone::Waiting label=|t| t.quarantine.waiting /> }.erased()
        }
        QuarantineStatus::Charged => {
            view! { <Badge tone=Tone::Good label=|t| t.quarantine.charged /> }.erased()
        }
        QuarantineStatus::Dismissed => {
            view! { <Badge tone=Tone::Quiet label=|t| t.quarantine.dismissed /> }.erased()
        }
    }
}

/// What became of it, when it waits no longer.
fn resolution(detail: &QuarantineDetail) -> Option<AnyView> {
    let text = use_text();
    let at = detail.resolved_at?;
    let who = detail.resolved_by.clone().unwrap_or_default();
    let why = detail.resolution.clone().unwrap_or_default();
    let is_dismissed = detail.status == QuarantineStatus::Dismissed;
    let said = words(move || {
        let words = &text.get().quarantine;
        if is_dismissed {
            fill(words.done_dismissed, &[&who, &why])
        } else {
            words.done_charged.to_owned()
        }
    });
    Some(
        view! {
            <p class="verdict">
                {said} " " <Moment at />
            </p>
        }
        .erased(),
    )
}
