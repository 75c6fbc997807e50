//! What the monitor knows: which deliveries it has seen, and which of them it shows.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::api::LiveEvent;

use crate::api::monitor::ROWS_MAX;

/// How many cursors are remembered to recognise repeats. A reconnect resumes from the last
/// cursor, so a repeat can only be a recent one.
const SEEN_MAX: usize = 4 * ROWS_MAX;

/// A delivery on the screen.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    pub event: Arc<LiveEvent>,
    /// It arrived while the page was open.
    pub is_new: bool,
}

/// Deliveries in the order they came, each once.
#[derive(Debug)]
pub struct FeedList {
    /// Where to resume: the last cursor that arrived, shown or not.
    cursor: String,
    seen: VecDeque<String>,
    /// Arrived and not shown yet, oldest first.
    waiting: VecDeque<DeliveryRow>,
    /// How many arrived since the rows were last shown; more than `waiting` holds when they were many.
    waiting_count: u32,
}

impl FeedList {
    #[must_use]
    pub fn new(cursor: String, events: &[LiveEvent]) -> Self {
        Self {
            cursor,
            seen: events.iter().map(|event| event.cursor.clone()).collect(),
            waiting: VecDeque::new(),
            waiting_count: 0,
        }
    }

    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    #[must_use]
    pub const fn waiting_count(&self) -> u32 {
        self.waiting_count
    }

    /// Takes a delivery in, unless it was here before; whether it did.
    pub fn accept(&mut self, event: LiveEvent) -> bool {
        if self.seen.contains(&event.cursor) {
            return false;
        }
        self.cursor.clone_from(&event.cursor);
        self.seen.push_back(event.cursor.clone());
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
        self.waiting.push_back(DeliveryRow {
            event: Arc::new(event),
            is_new: true,
        });
        if self.waiting.len() > ROWS_MAX {
            self.waiting.pop_front();
        }
        self.waiting_count = self.waiting_count.saturating_add(1);
        true
    }

    /// Puts what is waiting above `rows` (newest first) and drops what is too old to list.
    pub fn show(&mut self, rows: &mut Vec<DeliveryRow>) {
        self.waiting_count = 0;
        let mut shown: Vec<DeliveryRow> = self.waiting.drain(..).rev().collect();
        shown.append(rows);
        shown.truncate(ROWS_MAX);
        *rows = shown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::api::Outcome;

    fn event(cursor: usize) -> LiveEvent {
        LiveEvent {
            cursor: cursor.to_string(),
            received_at: "2024-01-15T10:30:00Z".parse().unwrap(),
            outcome: Outcome::Charged,
            source: "key".into(),
            user_id: None,
            model_names: Vec::new(),
            message_id: None,
            input_tokens: 0,
            output_tokens: 0,
            points: None,
            balance: None,
            reason: None,
        }
    }

    fn cursors(rows: &[DeliveryRow]) -> Vec<&str> {
        rows.iter().map(|row| row.event.cursor.as_str()).collect()
    }

    #[test]
    fn a_repeat_after_a_reconnect_is_dropped() {
        let mut feed = FeedList::new("2".into(), &[event(1), event(2)]);
        assert!(!feed.accept(event(2)));
        assert!(feed.accept(event(3)));
        assert!(!feed.accept(event(3)));
        assert_eq!(feed.cursor(), "3");
        assert_eq!(feed.waiting_count(), 1);
    }

    #[test]
    fn the_newest_is_on_top_and_the_oldest_gives_way() {
        let mut feed = FeedList::new("0".into(), &[]);
        let mut rows = Vec::new();
        for cursor in 1..=3 {
            feed.accept(event(cursor));
        }
        feed.show(&mut rows);
        feed.accept(event(4));
        feed.show(&mut rows);
        assert_eq!(cursors(&rows), ["4", "3", "2", "1"]);
        for cursor in 5..=2 * ROWS_MAX {
            feed.accept(event(cursor));
        }
        assert_eq!(feed.waiting_count(), 196);
        feed.show(&mut rows);
        assert_eq!(rows.len(), ROWS_MAX);
        assert_eq!(rows.first().unwrap().event.cursor, "200");
        assert_eq!(rows.last().unwrap().event.cursor, "101");
    }
}
