//! Reads a stream of chunks as it passes.

use super::answer::{AnswerFields, ModelAnswer};
use crate::formats::sse::{LineByte, Lines};

/// A longer line passes unread; chunks are far shorter.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads a stream of chunks as it passes, in pieces cut anywhere. Each line of data is a chunk: all
/// providers write them so, and some leave out the empty line between them.
#[derive(Debug, Default)]
pub struct StreamReader {
    answer: ModelAnswer,
    /// The client did not ask for the usage, so the chunk that tells it is taken out.
    hides_usage: bool,
    lines: Lines,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// The line was too long to wait for: what is left of it passes unread.
    is_skipping: bool,
    last_line: LastLine,
}

/// What became of the last line that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LastLine {
    #[default]
    Passed,
    /// It told the usage and was taken out, and so will be the empty line that ends its event.
    UsageHidden,
    EndHidden,
}

impl StreamReader {
    #[must_use]
    pub fn new(hides_usage: bool) -> Self {
        Self {
            hides_usage,
            ..Self::default()
        }
    }

    /// Takes a piece of the stream; adds to `onward` what the client gets now. All of it, unless a
    /// chunk may have to be taken out: then its last line is held back until it is complete.
    pub fn read(&mut self, piece: &[u8], onward: &mut Vec<u8>) {
        if !self.hides_usage {
            onward.extend_from_slice(piece);
        }
        for byte in piece {
            match self.lines.read(*byte) {
                LineByte::Content if self.is_skipping => self.pass(*byte, onward),
                LineByte::Content => {
                    self.line.push(*byte);
                    if self.line.len() > LINE_BYTES_MAX {
                        self.is_skipping = true;
                        self.last_line = LastLine::Passed;
                        self.pass_line(onward);
                    }
                }
                LineByte::End => {
                    if !self.is_skipping {
                        self.end_line(onward);
                    }
                    self.is_skipping = false;
                    self.pass_end(*byte, onward);
                }
                LineByte::RestOfEnd => self.pass_end(*byte, onward),
            }
        }
    }

    /// The stream has ended: adds what was held back, and tells what was read.
    pub fn finish(mut self, onward: &mut Vec<u8>) -> ModelAnswer {
        if !self.line.is_empty() {
            self.end_line(onward);
        }
        self.answer
    }

    fn end_line(&mut self, onward: &mut Vec<u8>) {
        let was_usage = self.last_line == LastLine::UsageHidden;
        self.last_line = if self.line.is_empty() && was_usage {
            LastLine::EndHidden
        } else if self.read_chunk() && self.hides_usage {
            LastLine::UsageHidden
        } else {
            LastLine::Passed
        };
        if self.last_line == LastLine::Passed {
            self.pass_line(onward);
        } else {
            self.line.clear();
        }
    }

    /// Reads the chunk in the line, if it holds one: `[DONE]`, comments and the like do not. Whether
    /// it tells the usage and nothing else.
    fn read_chunk(&mut self) -> bool {
        let data = self.lines.data(&self.line);
        let chunk = data.and_then(|data| serde_json::from_slice::<AnswerFields>(data).ok());
        let Some(chunk) = chunk else { return false };
        self.answer.add(&chunk);
        chunk.is_usage_only()
    }

    fn pass_line(&mut self, onward: &mut Vec<u8>) {
        if self.hides_usage {
            onward.extend_from_slice(&self.line);
        }
        self.line.clear();
    }

    fn pass_end(&self, byte: u8, onward: &mut Vec<u8>) {
        if self.last_line == LastLine::Passed {
            self.pass(byte, onward);
        }
    }

    fn pass(&self, byte: u8, onward: &mut Vec<u8>) {
        if self.hides_usage {
            onward.push(byte);
        }
    }
}
