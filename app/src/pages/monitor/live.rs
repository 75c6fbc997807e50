//! What the monitor lists while deliveries arrive.

use std::time::Duration;

use leptos::prelude::*;
use shared::api::{LiveEvent, Outcome};

use super::feed::{DeliveryRow, FeedList};
use crate::api::monitor::LiveStart;
use crate::components::amount::points_text;
use crate::components::badge::outcome_label;
use crate::components::waiting_count::{WaitingCount, use_waiting_count};
use crate::text::{Text, fill, use_text};

/// How long arrivals are gathered before they are shown together, so that a flood of them costs
/// a few repaints a second.
const GATHER: Duration = Duration::from_millis(150);

#[derive(Clone, Copy)]
pub struct Live {
    text: Text,
    feed: StoredValue<FeedList>,
    is_gathering: StoredValue<bool>,
    in_quarantine: WaitingCount,
    /// Newest first.
    pub rows: RwSignal<Vec<DeliveryRow>>,
    pub is_paused: RwSignal<bool>,
    /// How many arrived since it was paused.
    pub waiting: RwSignal<u32>,
    /// For screen readers.
    pub announcement: RwSignal<String>,
}

impl Live {
    pub fn new(start: LiveStart) -> Self {
        let feed = FeedList::new(start.cursor, &start.events);
        let rows = start.events.into_iter().rev().map(|event| DeliveryRow {
            event: event.into(),
            is_new: false,
        });
        Self {
            text: use_text(),
            feed: StoredValue::new(feed),
            is_gathering: StoredValue::new(false),
            in_quarantine: use_waiting_count(),
            rows: RwSignal::new(rows.collect()),
            is_paused: RwSignal::new(false),
            waiting: RwSignal::new(0),
            announcement: RwSignal::new(String::new()),
        }
    }

    /// Where the stream goes on.
    pub fn cursor(self) -> String {
        self.feed.with_value(|feed| feed.cursor().to_owned())
    }

    /// Takes an event in, and shows it soon unless the monitor is paused.
    pub fn accept(self, json: &str) {
        let Ok(event) = serde_json::from_str::<LiveEvent>(json) else {
            return;
        };
        let is_waiting = event.outcome == Outcome::Quarantined;
        if self.feed.try_update_value(|feed| feed.accept(event)) != Some(true) {
            return;
        }
        if is_waiting {
            self.in_quarantine.look_again();
        }
        if self.is_paused.get_untracked() {
            self.waiting
                .set(self.feed.with_value(FeedList::waiting_count));
        } else if !self.is_gathering.get_value() {
            self.is_gathering.set_value(true);
            set_timeout(move || self.show_gathered(), GATHER);
        }
    }

    fn show_gathered(self) {
        // Gone when the visitor has left the page meanwhile.
        let was_there = self.is_gathering.try_update_value(|it| *it = false);
        if was_there.is_some() && !self.is_paused.get_untracked() {
            self.show();
        }
    }

    fn show(self) {
        let arrived = self.feed.with_value(FeedList::waiting_count);
        if arrived > 0 {
            self.rows
                .update(|rows| self.feed.update_value(|feed| feed.show(rows)));
            self.announcement
                .set(announce(self.text, arrived, self.rows));
        }
        self.waiting.set(0);
    }

    pub fn pause_or_resume(self) {
        self.is_paused.update(|is_paused| *is_paused = !*is_paused);
        if !self.is_paused.get_untracked() {
            self.show();
        }
    }
}

/// What a screen reader is told when rows appear: how many, and the newest in words.
fn announce(text: Text, arrived: u32, rows: RwSignal<Vec<DeliveryRow>>) -> String {
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
