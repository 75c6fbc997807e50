//! The deliveries in their table.

use leptos::prelude::*;
use shared::api::{LiveEvent, Outcome, QuarantineReason};
use shared::money::Points;

use super::feed::DeliveryRow;
use crate::address::{price_address, user_address};
use crate::components::amount::{count_text, points_text};
use crate::components::badge::{Badge, outcome_label, outcome_tone};
use crate::components::erased::{Erase, Item, list, words};
use crate::components::moment::Moment;
use crate::components::reason::code_label;
use crate::components::table::{
    Head::{Numbers, Words},
    table,
};
use crate::text::{fill, use_text};

#[component]
pub fn Rows(rows: RwSignal<Vec<DeliveryRow>>) -> impl IntoView {
    view! {
        <div class="card flush">
            {table(
                "listing deliveries",
                |t| t.monitor.caption,
                &[
                    Words(|t| t.common.time),
                    Words(|t| t.monitor.outcome),
                    Words(|t| t.common.user),
                    Words(|t| t.common.model),
                    Numbers(|t| t.monitor.tokens_in_out),
                    Numbers(|t| t.common.points),
                    Numbers(|t| t.common.balance),
                    Words(|t| t.monitor.source),
                ],
                view! {
                    <tbody>
                        {list(move || {
                            let shown = |row: &DeliveryRow| {
                                let row = row.clone();
                                Item {
                                    key: row.event.cursor.clone(),
                                    view: Box::new(move || delivery(row)),
                                }
                            };
                            rows.with(|rows| rows.iter().map(shown).collect())
                        })}
                    </tbody>
                }.erased(),
            )}
        </div>
    }
    .erased()
}

fn delivery(row: DeliveryRow) -> AnyView {
    let text = use_text();
    let event = row.event;
    let models = if event.model_names.is_empty() {
        "–".to_owned()
    } else {
        event.model_names.join(", ")
    };
    let tokens = [
        &count_text(event.input_tokens),
        " / ",
        &count_text(event.output_tokens),
    ]
    .concat();
    let points = |points: Option<Points>| points.map_or_else(|| "–".to_owned(), points_text);
    let message = event.message_id.clone();
    view! {
        <tr class:fresh=row.is_new data-outcome=event.outcome.as_str()>
            <td data-label=text.say(|t| t.common.time)>
                <Moment at=event.received_at />
            </td>
            <td data-label=text.say(|t| t.monitor.outcome)>
                <Badge tone=outcome_tone(event.outcome) label=outcome_label(event.outcome) />
                {event.reason.as_deref().map(|reason| why(&event, reason))}
            </td>
            <td class="name" data-label=text.say(|t| t.common.user) title=message>
                {match &event.user_id {
                    Some(user) => {
                        view! { <a href=user_address(user)>{user.clone()}</a> }
                            .erased()
                    }
                    None => "–".erased(),
                }}
            </td>
            <td class="name" data-label=text.say(|t| t.common.model)>
                {models}
            </td>
            <td class="num" data-label=text.say(|t| t.monitor.tokens_in_out)>
                {tokens}
            </td>
            <td class="num" data-label=text.say(|t| t.common.points)>
                {points(event.points)}
            </td>
            <td class="num" data-label=text.say(|t| t.common.balance)>
                {points(event.balance)}
            </td>
            <td class="name" data-label=text.say(|t| t.monitor.source)>
                {event.source.clone()}
            </td>
        </tr>
    }
    .erased()
}

/// Why a delivery was not charged, and the way to put it right where an administrator can.
fn why(event: &LiveEvent, reason: &str) -> AnyView {
    let text = use_text();
    let known = code_label(reason);
    let code = reason.to_owned();
    let shown = words(move || match known {
        Some(known) => known(text.get()).to_owned(),
        None => code.clone(),
    });
    let links = price_links(event, reason).into_iter().map(|link| {
        let model = link.names_model.then(|| link.model.clone());
        let label = words(move || match &model {
            Some(model) => fill(text.get().quarantine.set_price, &[model]),
            None => text.get().monitor.set_price.to_owned(),
        });
        view! {
            " "
            <a href=price_address(&link.model)>{label}</a>
        }
        .erased()
    });
    view! {
        <span class="why">{shown} {links.collect_view()}</span>
    }
    .erased()
}

#[derive(Debug, PartialEq, Eq)]
struct PriceLink {
    model: String,
    /// Where there are several.
    names_model: bool,
}

/// Where prices can be set that a message waits for. Which of its models lacks one is not said, so
/// each is offered.
fn price_links(event: &LiveEvent, reason: &str) -> Vec<PriceLink> {
    let is_price_missing = event.outcome == Outcome::Quarantined
        && [
            QuarantineReason::UnknownModel,
            QuarantineReason::InactivePrice,
        ]
        .iter()
        .any(|missing| missing.as_str() == reason);
    if !is_price_missing {
        return Vec::new();
    }
    let models = &event.model_names;
    let link = |model: &String| PriceLink {
        model: model.clone(),
        names_model: models.len() > 1,
    };
    models.iter().map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(outcome: Outcome, models: &[&str]) -> LiveEvent {
        LiveEvent {
            cursor: "1".into(),
            received_at: "2024-01-15T10:30:00Z".parse().unwrap(),
            outcome,
            source: "key".into(),
            user_id: None,
            model_names: models.iter().map(ToString::to_string).collect(),
            message_id: None,
            input_tokens: 0,
            output_tokens: 0,
            points: None,
            balance: None,
            reason: None,
        }
    }

    fn models(outcome: Outcome, models: &[&str], reason: &str) -> Vec<(String, bool)> {
        price_links(&event(outcome, models), reason)
            .into_iter()
            .map(|link| (link.model, link.names_model))
            .collect()
    }

    #[test]
    fn each_model_of_a_message_that_lacks_a_price_is_offered() {
        let waits = Outcome::Quarantined;
        assert_eq!(
            models(waits, &["gpt-4, as of May"], "unknown_model"),
            [("gpt-4, as of May".to_owned(), false)]
        );
        assert_eq!(
            models(waits, &["a", "b"], "inactive_price"),
            [("a".to_owned(), true), ("b".to_owned(), true)]
        );
        assert_eq!(models(waits, &["a"], "overflow"), []);
        assert_eq!(models(waits, &[], "unknown_model"), []);
        assert_eq!(models(Outcome::Charged, &["a"], "unknown_model"), []);
    }
}
