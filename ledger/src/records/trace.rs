//! Traces: events about their parts, and what is known of one that is due.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::formats::langfuse::{AgedPart, Part, TraceUsage, TracedPart, join};
use shared::ids::ModelName;
use time::OffsetDateTime;

use crate::records::api_key::ApiKey;

/// How long a trace whose end is not announced is left alone after its last part, so that the calls
/// of a workflow become one message.
const QUIET: Duration = Duration::from_secs(2);
/// How long a part waits for that at most: a trace id may be used again and again.
const UNQUIET_MAX: Duration = Duration::from_secs(10);
/// How long parts wait for those that are missing. Dify sends them within seconds of each other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// One event about a trace, as received.
#[derive(Debug, Clone)]
pub struct TraceEvent {
    pub told: TracedPart,
    pub raw: String,
}

/// A part, and whether it is in a report already.
pub(crate) struct TracePart {
    pub part_id: String,
    pub part: Part,
    /// Its last event, as received.
    pub body: String,
    pub received_at: OffsetDateTime,
    pub is_reported: bool,
}

/// A trace that is due, and those of its parts that still matter.
pub(crate) struct Trace {
    pub source: Arc<ApiKey>,
    /// Stands in where no model is told.
    pub assumed_model: Option<ModelName>,
    pub trace_id: String,
    /// Counts what arrived.
    pub revision: i64,
    pub now: OffsetDateTime,
    pub parts: Vec<TracePart>,
}

impl Trace {
    pub(crate) fn is(&self, namespace_id: i64, trace_id: &str) -> bool {
        self.source.namespace_id == namespace_id && self.trace_id == trace_id
    }

    /// Whether nothing more is to be expected for a part.
    pub(crate) fn is_old(&self, part: &TracePart) -> bool {
        part.received_at + PATIENCE <= self.now
    }

    pub(crate) fn join(&self) -> TraceUsage {
        let seen: Vec<AgedPart<'_>> = self
            .parts
            .iter()
            .map(|known| AgedPart {
                part: &known.part,
                is_old: self.is_old(known),
            })
            .collect();
        join(&self.trace_id, &seen, self.assumed_model.as_ref())
    }

    /// Until when more is likely to come; `None` when it need not be waited for.
    pub(crate) fn quiet_at(&self, joined: &TraceUsage) -> Option<OffsetDateTime> {
        let unreported = self.parts.iter().filter(|part| !part.is_reported);
        let times: Vec<_> = unreported.map(|part| part.received_at).collect();
        let quiet = *times.iter().max()? + QUIET;
        let at_last = *times.iter().min()? + UNQUIET_MAX;
        let at = quiet.min(at_last);
        (!joined.is_complete && at > self.now).then_some(at)
    }

    /// The parts at some places.
    pub(crate) fn parts_at<'a>(
        &'a self,
        places: &'a [usize],
    ) -> impl Iterator<Item = &'a TracePart> {
        places.iter().filter_map(|place| self.parts.get(*place))
    }

    /// When the first of some parts came.
    pub(crate) fn arrived_at(&self, places: &[usize]) -> Timestamp {
        let times = self.parts_at(places).map(|part| part.received_at);
        times.min().unwrap_or(self.now).into()
    }

    /// The events of some parts, as a batch like those that brought them.
    pub(crate) fn body(&self, places: &[usize]) -> Vec<u8> {
        let events: Vec<_> = self
            .parts_at(places)
            .map(|part| part.body.as_str())
            .collect();
        format!(r#"{{"batch":[{}]}}"#, events.join(",")).into_bytes()
    }
}
