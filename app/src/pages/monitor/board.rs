//! The monitor's screen: the rows, the state of the stream, pause and resume.

use std::time::Duration;

use leptos::prelude::*;
use shared::api::{LiveEvent, Outcome};
use shared::locale::Locale;

use super::connection::{Connection, keep_open};
use super::feed::{Feed, Row};
use super::summary::Summary;
use crate::address::{price_address, user_address};
use crate::api::monitor::LiveStart;
use crate::browser;
use crate::components::amount::{count_text, points_text};
use crate::components::badge::{Badge, outcome_label, outcome_tone};
use crate::components::erased::{Erase, Item, flag, list, part, phrase, press, words};
use crate::components::moment::Moment;
use crate::components::table::{
    Head::{Numbers, Words},
    table,
};
use crate::components::waiting_count::use_waiting_count;
use crate::text::{Say, Text, Texts, fill, use_text};

/// How long arrivals are gathered before they are shown together, so that a flood of them costs
/// a few repaints a second.
const GATHER: Duration = Duration::from_millis(150);

#[component]
pub fn Board(start: LiveStart) -> impl IntoView {
    let text = use_text();
    let feed = StoredValue::new(Feed::new(start.cursor, &start.events));
    let rows = RwSignal::new(
        start
            .events
            .into_iter()
            .rev()
            .map(|event| Row {
                event: event.into(),
                is_new: false,
            })
            .collect::<Vec<_>>(),
    );
    let connection = RwSignal::new(Connection::Connecting);
    let is_paused = RwSignal::new(false);
    let waiting = RwSignal::new(0_u32);
    let announcement = RwSignal::new(String::new());
    let in_quarantine = use_waiting_count();

    let show = move || {
        let arrived = feed.with_value(Feed::waiting_count);
        if arrived > 0 {
            // The rows may be gone when the visitor has left the page meanwhile.
            rows.try_update(|rows| feed.update_value(|feed| feed.show(rows)));
            announcement.try_set(announce(text, arrived, rows));
        }
        waiting.try_set(0);
    };
    let is_gathering = StoredValue::new(false);
    let on_event = move |data: &str| {
        let Ok(event) = serde_json::from_str::<LiveEvent>(data) else {
            return;
        };
        let is_waiting = event.outcome == Outcome::Quarantined;
        if feed.try_update_value(|feed| feed.accept(event)) != Some(true) {
            return;
        }
        if is_waiting {
            in_quarantine.look_again();
        }
        if is_paused.get_untracked() {
            waiting.set(feed.with_value(Feed::waiting_count));
        } else if !is_gathering.get_value() {
            is_gathering.set_value(true);
            set_timeout(
                move || {
                    if is_gathering
                        .try_update_value(|gathering| *gathering = false)
                        .is_some()
                        && !is_paused.get_untracked()
                    {
                        show();
                    }
                },
                GATHER,
            );
        }
    };
    Effect::new(move |_| {
        keep_open(
            connection,
            move || feed.with_value(|feed| feed.cursor().to_owned()),
            on_event,
        );
    });
    let toggle = move |_| {
        is_paused.update(|paused| *paused = !*paused);
        if !is_paused.get_untracked() {
            show();
        }
    };

    let is_empty = Memo::new(move |_| rows.with(Vec::is_empty));
    view! {
        <div class="page-head">
            <h1>{text.say(|t| t.monitor.title)}</h1>
            <State connection is_paused waiting />
            <button
                type="button"
                class="button"
                disabled=flag(move || connection.get() == Connection::Connecting)
                on:click=press(toggle)
            >
                {phrase(move || {
                    let words = &text.get().monitor;
                    if is_paused.get() { words.resume } else { words.pause }
                })}
            </button>
        </div>
        <p class="visually-hidden" role="status">
            {announcement}
        </p>
        {part(move || {
            if is_empty.get() {
                view! { <Nothing /> }.erased()
            } else {
                view! {
                    <Summary rows />
                    <Rows rows />
                }
                    .erased()
            }
        })}
    }
    .erased()
}

/// What a screen reader is told when rows appear: how many, and the newest in words.
fn announce(text: Text, arrived: u32, rows: RwSignal<Vec<Row>>) -> String {
    let newest = rows.with_untracked(|rows| rows.first().map(|row| row.event.clone()));
    let Some(newest) = newest else {
        return String::new();
    };
    let words = text.now();
    fill(
        words.monitor.announcement,
        &[
            &arrived.to_string(),
            newest.user_id.as_deref().unwrap_or(words.common.nobody),
            outcome_label(newest.outcome)(words),
            &newest.points.map(points_text).unwrap_or_default(),
        ],
    )
}

#[component]
fn State(
    connection: RwSignal<Connection>,
    is_paused: RwSignal<bool>,
    waiting: RwSignal<u32>,
) -> impl IntoView {
    let text = use_text();
    let class = move || match (connection.get(), is_paused.get()) {
        (Connection::Live, false) => "state live",
        (Connection::Live, true) => "state paused",
        (Connection::Connecting | Connection::Reconnecting, _) => "state lost",
    };
    let state = move || {
        let words = &text.get().monitor;
        match (connection.get(), is_paused.get()) {
            (Connection::Live, false) => words.live.to_owned(),
            (Connection::Connecting, _) => words.connecting.to_owned(),
            (Connection::Reconnecting, _) => words.reconnecting.to_owned(),
            (Connection::Live, true) => fill(words.paused, &[&waiting.get().to_string()]),
        }
    };
    view! {
        <p class=phrase(class) data-testid="connection">
            <span class="dot" aria-hidden="true"></span>
            {words(state)}
        </p>
    }
    .erased()
}

#[component]
fn Rows(rows: RwSignal<Vec<Row>>) -> impl IntoView {
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
                            let shown = |row: &Row| {
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

fn delivery(row: Row) -> AnyView {
    let text = use_text();
    let event = row.event;
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    let tokens = [
        &count_text(event.input_tokens),
        " / ",
        &count_text(event.output_tokens),
    ]
    .concat();
    let points =
        |points: Option<shared::money::Points>| points.map_or_else(|| "–".to_owned(), points_text);
    let message = event.message_id.clone();
    view! {
        <tr class:fresh=row.is_new data-outcome=event.outcome.as_str()>
            <td data-label=text.say(|t| t.common.time)>
                <Moment at=event.received_at />
            </td>
            <td data-label=text.say(|t| t.monitor.outcome)>
                <Badge tone=outcome_tone(event.outcome) label=outcome_label(event.outcome) />
                {event.reason.clone().map(|reason| why(&event, reason))}
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
                {or_dash(&event.model_name)}
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
fn why(event: &LiveEvent, reason: String) -> AnyView {
    let text = use_text();
    let known = reason_label(&reason);
    let shown = move || match known {
        Some(known) => known(text.get()).to_owned(),
        None => reason.clone(),
    };
    let is_price_missing = event.outcome == Outcome::Quarantined
        && matches!(
            event.reason.as_deref(),
            Some("unknown_model" | "inactive_price")
        );
    let link = event
        .model_name
        .as_deref()
        .filter(|_| is_price_missing)
        .map(|model| {
            let href = price_address(model);
            view! {
                " "
                <a href=href>{text.say(|t| t.monitor.set_price)}</a>
            }
            .erased()
        });
    view! { <span class="why">{words(shown)} {link}</span> }.erased()
}

/// Quarantine reasons and error codes in words.
fn reason_label(reason: &str) -> Option<Say> {
    Some(match reason {
        "unknown_model" => |t: &'static Texts| t.reason.unknown_model,
        "inactive_price" => |t: &'static Texts| t.reason.inactive_price,
        "contradictory_tokens" => |t: &'static Texts| t.reason.contradictory_tokens,
        "zero_usage" => |t: &'static Texts| t.reason.zero_usage,
        "too_many_tokens" => |t: &'static Texts| t.reason.too_many_tokens,
        "overflow" => |t: &'static Texts| t.reason.overflow,
        "message_conflict" => |t: &'static Texts| t.reason.message_conflict,
        "invalid_json" => |t: &'static Texts| t.reason.invalid_json,
        "invalid_field" => |t: &'static Texts| t.reason.invalid_field,
        "payload_too_large" => |t: &'static Texts| t.reason.payload_too_large,
        _ => return None,
    })
}

/// What to do while nothing has arrived yet.
#[component]
fn Nothing() -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let command = move || {
        // The server does not know under which address it is seen.
        let origin = hydrated
            .get()
            .then(browser::origin)
            .flatten()
            .unwrap_or_else(|| "http://127.0.0.1:3000".to_owned());
        let key = match text.locale() {
            Locale::En => "YOUR_API_KEY",
            Locale::Zh => "你的_API_密钥",
        };
        [
            "curl ",
            &origin,
            "/api/dify/webhook \\\n  -H 'Authorization: Bearer ",
            key,
            "' \\\n  -H 'Content-Type: application/json' \\\n  -d '",
            SAMPLE,
            "'",
        ]
        .concat()
    };
    view! {
        <section class="card empty">
            <h2>{text.say(|t| t.monitor.empty)}</h2>
            <p>{text.say(|t| t.monitor.empty_hint)}</p>
            <pre tabindex="0" aria-label=text.say(|t| t.monitor.example)>
                <code>{words(command)}</code>
            </pre>
            <p>
                {text.say(|t| t.monitor.empty_price)} " "
                <a href="/admin/prices">{text.say(|t| t.nav.prices)}</a>
            </p>
        </section>
    }
    .erased()
}

const SAMPLE: &str = r#"{"event":"message_end","data":{"conversation_id":"conv_123","message_id":"msg_456","user_id":"user_789","model_name":"gpt-4","input_tokens":1500,"output_tokens":800,"total_tokens":2300,"timestamp":"2024-01-15T10:30:00Z"},"request_id":"req_abc123"}"#;
