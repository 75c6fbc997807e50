//! What became of the messages that were charged after a review.

use leptos::prelude::*;
use shared::api::{Outcome, ReviewedMessage, WebhookAnswer};
use shared::money::Points;

use super::choice::MissingChoice;
use crate::address::user_address;
use crate::components::amount::{count_text, points_text};
use crate::components::badge::{Badge, Tone, outcome_label, outcome_tone};
use crate::components::erased::{Erase, part, words};
use crate::components::list::{ListSection, listed};
use crate::components::reason::{code_label, reason_label};
use crate::components::table::Head::{Numbers, Words};
use crate::text::{Texts, fill, use_text};

/// What became of a review.
#[derive(Clone)]
pub struct Reviewed {
    source: String,
    /// With their users.
    messages: Vec<(ReviewedMessage, String)>,
    /// How many more were chosen, and were missing no longer.
    arrived: usize,
}

impl Reviewed {
    pub fn new(
        source: String,
        charged: Vec<ReviewedMessage>,
        chosen: usize,
        choices: &[MissingChoice],
    ) -> Self {
        let arrived = chosen.saturating_sub(charged.len());
        let with_user = |message: ReviewedMessage| {
            let mut choices = choices.iter().map(|choice| &choice.message);
            let choice = choices.find(|choice| choice.message_id == message.message_id);
            let user = choice.map(|choice| String::from(choice.user_id.clone()));
            (message, user.unwrap_or_default())
        };
        Self {
            source,
            messages: charged.into_iter().map(with_user).collect(),
            arrived,
        }
    }

    /// How many were charged, and for how much.
    pub fn sentence(&self, texts: &Texts) -> String {
        let answers = self
            .messages
            .iter()
            .filter_map(|(it, _)| it.answer.as_ref());
        let charged: Vec<Points> = answers
            .filter(|answer| answer.status == Outcome::Charged)
            .map(|answer| answer.points_deducted)
            .collect();
        let count = |count: usize| count_text(u64::try_from(count).unwrap_or(u64::MAX));
        let all = self.messages.len().saturating_add(self.arrived);
        let points = Points::sum(charged.iter().copied());
        fill(
            texts.completeness.notice_charged,
            &[
                &count(charged.len()),
                &count(all),
                &points.map(points_text).unwrap_or_default(),
            ],
        )
    }
}

/// What became of each message, below what is missing still.
pub fn reviewed_part(source: String, reviewed: RwSignal<Option<Reviewed>>) -> AnyView {
    part(move || match reviewed.get() {
        Some(reviewed) if reviewed.source == source => view! { <Results reviewed /> }.erased(),
        _ => ().erased(),
    })
    .erased()
}

#[component]
fn Results(reviewed: Reviewed) -> impl IntoView {
    let text = use_text();
    let summary = {
        let reviewed = reviewed.clone();
        words(move || reviewed.sentence(text.get()))
    };
    let hint = view! {
        <p class="prose">
            {summary} " " {text.say(|t| t.completeness.counted_later)}
        </p>
    };
    let list = listed(
        |t| t.monitor.outcome,
        &[
            Words(|t| t.receipt.message),
            Words(|t| t.common.user),
            Words(|t| t.monitor.outcome),
            Numbers(|t| t.common.points),
            Numbers(|t| t.history.balance_after),
        ],
        reviewed.messages.into_iter().map(result).collect(),
        || ().erased(),
    );
    view! {
        <ListSection
            id="results-title"
            title=|t| t.monitor.outcome
            hint=hint.erased()
            list=Some(list)
        />
    }
    .erased()
}

fn result((reviewed, user): (ReviewedMessage, String)) -> AnyView {
    let text = use_text();
    let href = user_address(&user);
    let became = match (&reviewed.answer, reviewed.problem.as_deref()) {
        (Some(answer), _) => answered(answer),
        (None, Some("message_conflict")) => view! {
            <Badge tone=Tone::Bad label=|t| t.outcome.conflict />
            " "
            {text.say(|t| t.reason.message_conflict)}
        }
        .erased(),
        (None, problem) => {
            let code = problem.unwrap_or_default().to_owned();
            let label = code_label(&code);
            let said = words(move || match label {
                Some(label) => label(text.get()).to_owned(),
                None => code.clone(),
            });
            view! {
                <Badge tone=Tone::Bad label=|t| t.rerate.failed />
                " "
                {said}
            }
            .erased()
        }
    };
    let nothing = || "–".to_owned();
    let (taken, balance) = match &reviewed.answer {
        Some(answer) if answer.status == Outcome::Charged => (
            points_text(answer.points_deducted),
            points_text(answer.balance),
        ),
        Some(answer) => (nothing(), points_text(answer.balance)),
        None => (nothing(), nothing()),
    };
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.receipt.message)>
                <code>{reviewed.message_id}</code>
            </th>
            <td class="name" data-label=text.say(|t| t.common.user)>
                <a href=href>{user}</a>
            </td>
            <td data-label=text.say(|t| t.monitor.outcome)>{became}</td>
            <td class="num" data-label=text.say(|t| t.common.points)>
                {taken}
            </td>
            <td class="num" data-label=text.say(|t| t.history.balance_after)>
                {balance}
            </td>
        </tr>
    }
    .erased()
}

fn answered(answer: &WebhookAnswer) -> AnyView {
    let text = use_text();
    let badge = view! {
        <Badge tone=outcome_tone(answer.status) label=outcome_label(answer.status) />
    };
    match answer.reason {
        Some(reason) => view! {
            {badge}
            " "
            <a href="/admin/quarantine">{text.say(reason_label(reason))}</a>
        }
        .erased(),
        None => badge.erased(),
    }
}
