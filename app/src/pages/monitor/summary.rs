//! The listed deliveries at a glance: how many of each outcome, and points over time.

use leptos::prelude::*;
use shared::api::{LiveEvent, Outcome};
use shared::money::Points;

use super::feed::DeliveryRow;
use crate::components::amount::{count_text, percent, points_text};
use crate::components::badge::{Badge, outcome_label, outcome_tone};
use crate::components::erased::{Erase, words};
use crate::text::{fill, use_text};

/// Bars of the drawing.
const BARS: usize = 40;

/// Sums points into equal spans of time between the oldest and the newest event.
fn points_over_time<'a>(events: impl Iterator<Item = &'a LiveEvent> + Clone) -> Vec<Points> {
    let micros = events.clone().map(|event| event.received_at.unix_micros());
    let (Some(first), Some(last)) = (micros.clone().min(), micros.max()) else {
        return Vec::new();
    };
    let span = (last - first).max(1);
    let bars_max = i64::try_from(BARS - 1).unwrap_or(i64::MAX);
    let mut bars = vec![Points::ZERO; BARS];
    for event in events {
        let offset = event.received_at.unix_micros() - first;
        // Both fit: offset ≤ span, and a span of centuries × 39 stays within 64 bits.
        let bar = usize::try_from(offset.saturating_mul(bars_max) / span).unwrap_or(0);
        if let (Some(sum), Some(points)) = (bars.get_mut(bar), event.points) {
            *sum = sum.plus(points).unwrap_or(Points::MAX);
        }
    }
    bars
}

#[component]
pub fn Summary(rows: RwSignal<Vec<DeliveryRow>>) -> impl IntoView {
    let text = use_text();
    let total = move || {
        rows.with(|rows| {
            Points::sum(
                rows.iter()
                    .filter(|row| row.event.outcome == Outcome::Charged)
                    .filter_map(|row| row.event.points),
            )
            .map(points_text)
            .unwrap_or_default()
        })
    };
    let counters = Outcome::ALL
        .into_iter()
        .map(|outcome| {
            let count = move || {
                let count = rows.with(|rows| {
                    rows.iter()
                        .filter(|row| row.event.outcome == outcome)
                        .count()
                });
                count_text(u64::try_from(count).unwrap_or(u64::MAX))
            };
            view! {
                <div>
                    <dt>
                        <Badge tone=outcome_tone(outcome) label=outcome_label(outcome) />
                    </dt>
                    <dd class="num">{words(count)}</dd>
                </div>
            }
            .erased()
        })
        .collect_view();
    let listed = move || {
        let count = count_text(u64::try_from(rows.with(Vec::len)).unwrap_or(u64::MAX));
        fill(text.get().monitor.listed, &[&count])
    };
    view! {
        <section class="card summary" aria-label=text.say(|t| t.monitor.summary)>
            <div class="summary-head">
                <p class="quiet small">{words(listed)}</p>
                <p class="big">
                    <span class="num">{words(total)}</span>
                    " "
                    <span class="quiet small">{text.say(|t| t.monitor.points_charged)}</span>
                </p>
            </div>
            <Bars rows />
            <dl class="counters">{counters}</dl>
        </section>
    }
    .erased()
}

/// Points over time, as bars. The table holds the same numbers.
#[component]
fn Bars(rows: RwSignal<Vec<DeliveryRow>>) -> impl IntoView {
    let text = use_text();
    let drawing = move || {
        let bars = rows.with(|rows| {
            points_over_time(
                rows.iter()
                    .map(|row| &*row.event)
                    .filter(|event| event.outcome == Outcome::Charged),
            )
        });
        let tallest = bars.iter().copied().max().unwrap_or_default();
        let mut path = String::new();
        for (bar, points) in bars.into_iter().enumerate() {
            let (left, height) = ((bar * 10).to_string(), percent(points, tallest).to_string());
            path += &["M", &left, " 100v-", &height, "h8v", &height, "z"].concat();
        }
        path
    };
    view! {
        <svg
            class="bars"
            viewBox="0 0 398 100"
            preserveAspectRatio="none"
            role="img"
            aria-label=text.say(|t| t.monitor.drawing)
        >
            <path d=words(drawing) />
        </svg>
    }
    .erased()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: &str, points: &str) -> LiveEvent {
        LiveEvent {
            cursor: at.into(),
            received_at: at.parse().unwrap(),
            outcome: Outcome::Charged,
            source: "key".into(),
            user_id: None,
            model_names: Vec::new(),
            message_id: None,
            input_tokens: 0,
            output_tokens: 0,
            points: Some(points.parse().unwrap()),
            balance: None,
            reason: None,
        }
    }

    #[test]
    fn no_points_are_lost_between_the_bars() {
        let events = [
            event("2024-01-15T10:30:00Z", "93"),
            event("2024-01-15T10:30:10Z", "0.5"),
            event("2024-01-15T10:31:00Z", "7"),
        ];
        let bars = points_over_time(events.iter());
        assert_eq!(bars.len(), BARS);
        assert_eq!(bars.first().unwrap().to_string(), "93");
        assert_eq!(bars.last().unwrap().to_string(), "7");
        assert_eq!(Points::sum(bars).unwrap().to_string(), "100.5");
    }

    #[test]
    fn a_single_event_and_none_are_drawn() {
        assert_eq!(points_over_time(std::iter::empty()), []);
        let event = event("2024-01-15T10:30:00Z", "93");
        assert_eq!(
            points_over_time(std::iter::once(&event))
                .first()
                .unwrap()
                .to_string(),
            "93"
        );
    }
}
