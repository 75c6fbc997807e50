//! How many messages wait in quarantine, as far as this browser knows.

use leptos::prelude::*;

use super::command::Command;
use crate::api::query::{Query, QueryAnswer, answer_to};
use crate::api::session::Session;

#[derive(Clone, Copy)]
pub struct WaitingCount {
    count: RwSignal<u64>,
    look: Command,
}

impl WaitingCount {
    fn new() -> Self {
        Self {
            count: RwSignal::new(0),
            look: Command::new(),
        }
    }

    /// Tracked.
    #[must_use]
    pub fn get(self) -> u64 {
        self.count.get()
    }

    pub fn set(self, count: u64) {
        self.count.set(count);
    }

    /// Asks the server again.
    pub fn look_again(self) {
        self.look.run(async move {
            if let QueryAnswer::Session(Session::Administrator { waiting, .. }) =
                answer_to(Query::Session).await?
            {
                self.count.try_set(waiting);
            }
            Ok(())
        });
    }
}

/// Provides [`use_waiting_count`].
pub fn provide_waiting_count() {
    provide_context(WaitingCount::new());
}

#[must_use]
pub fn use_waiting_count() -> WaitingCount {
    use_context().unwrap_or_else(WaitingCount::new)
}
