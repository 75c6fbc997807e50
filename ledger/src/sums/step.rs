//! What an entry, or an event without one, adds to the sums.

use shared::api::EntryKind;
use time::OffsetDateTime;
use uuid::Uuid;

use super::quarter::Quarter;
use super::rows::{Dimension, SumKey, Sums};
use crate::records::entry::EntryLine;
use crate::records::usage_sum::UsageMeasures;

/// What is paid of a message at some time, and what is owed of that.
#[derive(Debug, Clone, Default)]
pub(crate) struct MessageState {
    pub lines: Vec<EntryLine>,
    pub owed_nano: i64,
}

impl MessageState {
    fn cost_nano(&self) -> i128 {
        let costs = self.lines.iter().map(|line| i128::from(line.cost_nano));
        costs.sum()
    }
}

/// One thing that was entered.
#[derive(Debug)]
pub(crate) struct JournalStep {
    pub account_id: Uuid,
    pub booked: OffsetDateTime,
    /// Of a message: when it was first charged for, whatever corrects it later.
    pub happened: OffsetDateTime,
    pub kind: EntryKind,
    /// The source that charged the message first; nil where there is none.
    pub api_key_id: Uuid,
    /// Absent where something else than an entry changed a message.
    pub is_entry: bool,
    pub content: StepContent,
}

#[derive(Debug)]
pub(crate) enum StepContent {
    /// Points that belong to no message.
    Points { amount_nano: i64 },
    /// A message that was something before, or nothing, and is something else now: nothing where it
    /// turned out to be another one.
    Message {
        before: Option<MessageState>,
        after: Option<MessageState>,
    },
}

impl JournalStep {
    pub(crate) fn add_to(&self, sums: &mut Sums) {
        let mut counted = None;
        match &self.content {
            StepContent::Points { amount_nano } => {
                sums.add(self.key(None), of_amount((*amount_nano).into()));
            }
            StepContent::Message { before, after } => {
                if let Some(before) = before {
                    self.add_state(before, UsageMeasures::negated, sums);
                }
                if let Some(after) = after {
                    self.add_state(after, |measures| measures, sums);
                    counted = after.lines.first();
                }
            }
        }
        if self.is_entry {
            // What is given back belongs to no line.
            let line = counted.filter(|_| self.kind != EntryKind::Refund);
            let one = UsageMeasures {
                entries: 1,
                ..UsageMeasures::default()
            };
            sums.add(self.key(line), one);
        }
    }

    /// Each line with its cost, and without a model what of that is not owed.
    fn add_state(
        &self,
        state: &MessageState,
        signed: impl Fn(UsageMeasures) -> UsageMeasures,
        sums: &mut Sums,
    ) {
        for line in &state.lines {
            sums.add(self.key(Some(line)), signed(of_line(line)));
        }
        let one = UsageMeasures {
            messages: 1,
            ..UsageMeasures::default()
        };
        sums.add(self.key(state.lines.first()), signed(one));
        let not_owed = state.cost_nano() - i128::from(state.owed_nano);
        if not_owed != 0 {
            sums.add(self.key(None), signed(of_amount(not_owed)));
        }
    }

    fn key(&self, line: Option<&EntryLine>) -> SumKey {
        SumKey {
            account_id: self.account_id,
            booked: Quarter::of(self.booked),
            happened: Quarter::of(self.happened),
            dimension: Dimension {
                kind: self.kind,
                model_key: line.map_or_else(String::new, |line| line.model_name.key()),
                evidence: line.map(|line| line.evidence),
                api_key_id: self.api_key_id,
            },
        }
    }
}

fn of_amount(amount_nano: i128) -> UsageMeasures {
    UsageMeasures {
        amount_nano,
        ..UsageMeasures::default()
    }
}

/// One line, with the points that it takes.
fn of_line(line: &EntryLine) -> UsageMeasures {
    UsageMeasures {
        calls: 1,
        input: line.tokens.input.into(),
        cached_input: line.tokens.cached_input.into(),
        cache_write: line.tokens.cache_write.into(),
        output: line.tokens.output.into(),
        reasoning: line.tokens.reasoning.into(),
        amount_nano: -i128::from(line.cost_nano),
        cost_nano: line.cost_nano.into(),
        ..UsageMeasures::default()
    }
}
