//! Reads an answer from a copy of its bytes.

use super::answer::{AnswerUsage, CallContext, Pause};
use super::events::{read_answer, read_event};
use crate::formats::bounded_json::BoundedJson;
use crate::formats::sse::EventReader;
use crate::usage::MessageUsage;

/// Reads a copy of an answer and reports what was used:
///
/// 1. what its nodes used, each with its own model (chatflows and workflows). Only leaves count: an
///    iteration's or a loop's total is the sum of nodes that are reported themselves;
/// 2. else the usage of `message_end`, or of a blocking answer (basic apps);
/// 3. else the total of `workflow_finished`, whose split is unknown: all of it as input;
/// 4. else an estimate from the text that went by, and from what usually goes in.
///
/// It keeps no text, and of what is large in an event or an answer only that it was there.
#[derive(Debug)]
pub struct Meter {
    bytes: Bytes,
    usage: AnswerUsage,
}

#[derive(Debug)]
enum Bytes {
    Stream(EventReader),
    Blocking(BoundedJson),
}

impl Meter {
    /// Of server-sent events.
    #[must_use]
    pub fn stream() -> Self {
        Self::of(Bytes::Stream(EventReader::default()))
    }

    /// Of a blocking answer: one JSON object.
    #[must_use]
    pub fn answer() -> Self {
        Self::of(Bytes::Blocking(BoundedJson::default()))
    }

    fn of(bytes: Bytes) -> Self {
        Self {
            bytes,
            usage: AnswerUsage::default(),
        }
    }

    /// Takes the next bytes, cut anywhere.
    pub fn read(&mut self, bytes: &[u8]) {
        match &mut self.bytes {
            Bytes::Stream(events) => events.read(bytes, |data| read_event(&mut self.usage, data)),
            Bytes::Blocking(json) => bytes.iter().for_each(|byte| json.push(*byte)),
        }
    }

    /// Whether the stream has told that its run is paused or has ended: nothing more is to come.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.usage.is_over()
    }

    /// As [`AnswerUsage::pause`], of what was read so far.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.usage.pause()
    }

    /// The answer has ended, or broke off.
    #[must_use]
    pub fn finish(mut self) -> AnswerUsage {
        match self.bytes {
            Bytes::Stream(events) => events.finish(|data| read_event(&mut self.usage, data)),
            Bytes::Blocking(mut json) => match json.take() {
                Ok(answer) => read_answer(&mut self.usage, &answer),
                Err(start) => self.usage.start_of_unread = Some(start),
            },
        }
        self.usage
    }

    /// As [`AnswerUsage::report`], of all that was read.
    #[must_use]
    pub fn report(self, context: &CallContext) -> Option<MessageUsage> {
        self.finish().report(context)
    }
}
