//! The tokens of one message that are on record.

use std::collections::HashMap;

use shared::usage::MessageUsage;

/// Calls count once each, however often they are told.
#[derive(Default)]
pub(crate) struct RecordedTokens {
    calls: HashMap<String, u64>,
    /// All that was charged.
    charged: u64,
    /// What waits as the message's own, without its calls.
    own: u64,
    /// Of the sums of the whole that wait, the largest.
    whole: u64,
}

impl RecordedTokens {
    pub(crate) fn add_charge(&mut self, call_id: Option<String>, tokens: u64) {
        self.charged = self.charged.saturating_add(tokens);
        if let Some(id) = call_id {
            self.calls.insert(id, tokens);
        }
    }

    /// Adds a report that waits, whose numbers may be cumulative for the message.
    pub(crate) fn add_waiting(&mut self, usage: MessageUsage, is_cumulative: bool) {
        let total = usage.total_tokens();
        if usage.is_itemized() {
            for call in usage.calls {
                let calls = call.call_id.map(|id| self.calls.entry(id));
                calls.map(|call_of| call_of.or_insert(call.tokens.total()));
            }
        } else if is_cumulative {
            self.whole = self.whole.max(total);
        } else {
            self.own = self.own.saturating_add(total);
        }
    }

    /// A sum that was charged may contain calls that wait, so that these are not added to it.
    pub(crate) fn total(&self) -> u64 {
        let calls = self.calls.values().copied();
        let told = calls.fold(self.own, u64::saturating_add);
        told.max(self.charged).max(self.whole)
    }
}
