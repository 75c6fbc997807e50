//! Server-sent events, as the HTML standard (§ 9.2.6) has them, read from bytes that are cut
//! anywhere. Of an event only its data matters here; `event`, `id` and `retry` are passed over.

use std::mem::take;

use super::bounded_json::BoundedJson;

/// The data of an event that is longer is given up.
const DATA_BYTES_MAX: usize = 4 * 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a byte is to the lines of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineByte {
    Content,
    /// The line ends with it.
    End,
    /// The line feed of a CRLF, whose carriage return has ended the line already.
    RestOfEnd,
}

/// Tells where lines end: with CR, LF or CRLF.
#[derive(Debug, Default)]
pub struct Lines {
    is_after_return: bool,
    /// Lines whose field was asked for.
    has_begun: bool,
}

impl Lines {
    /// Takes the next byte of the stream.
    pub fn read(&mut self, byte: u8) -> LineByte {
        let is_after_return = self.is_after_return;
        self.is_after_return = byte == b'\r';
        match byte {
            b'\n' if is_after_return => LineByte::RestOfEnd,
            b'\n' | b'\r' => LineByte::End,
            _ => LineByte::Content,
        }
    }

    /// The value of a line that is the field `data`. To be asked of every line, in their order: a
    /// byte order mark counts before the first one only.
    pub fn data<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let line = match self.has_begun {
            true => line,
            false => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
        };
        self.has_begun = true;
        if line == b"data" {
            return Some(b"");
        }
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    }
}

/// What is known of the data of the event that is being read.
#[derive(Debug, Default)]
enum Data {
    #[default]
    Absent,
    Lines(Vec<u8>),
    TooLong,
}

/// Takes the bytes of a stream in whatever pieces they come, and gives the data of its events. Data
/// that is JSON loses what is too large in it, see [`BoundedJson`].
#[derive(Debug, Default)]
pub struct EventReader {
    lines: Lines,
    line: BoundedJson,
    data: Data,
}

impl EventReader {
    /// Hands the data of every event that ends in these bytes to `receive`.
    pub fn read(&mut self, bytes: &[u8], mut receive: impl FnMut(&[u8])) {
        for byte in bytes {
            match self.lines.read(*byte) {
                LineByte::Content => self.line.push(*byte),
                LineByte::End => {
                    if let Some(data) = self.end_line() {
                        receive(&data);
                    }
                }
                LineByte::RestOfEnd => {}
            }
        }
    }

    /// The stream has ended. Against the standard, an event counts even if the empty line after it
    /// is missing: what it says was used, was used.
    pub fn finish(mut self, mut receive: impl FnMut(&[u8])) {
        for data in [self.end_line(), self.end_line()].into_iter().flatten() {
            receive(&data);
        }
    }

    /// The data of the event that this line ends, if it is the empty one and there is some.
    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = match self.line.take() {
            Ok(line) => line,
            Err(start) => {
                if self.lines.data(&start).is_some() {
                    self.data = Data::TooLong;
                }
                return None;
            }
        };
        let value = self.lines.data(&line);
        if line.is_empty() {
            return match take(&mut self.data) {
                Data::Lines(data) if !data.is_empty() => Some(data),
                Data::Lines(_) | Data::Absent | Data::TooLong => None,
            };
        }
        if let Some(value) = value {
            self.add(value);
        }
        None
    }

    fn add(&mut self, value: &[u8]) {
        match &mut self.data {
            Data::Absent => self.data = Data::Lines(value.to_vec()),
            Data::Lines(data) if data.len() + value.len() < DATA_BYTES_MAX => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            Data::Lines(_) => self.data = Data::TooLong,
            Data::TooLong => {}
        }
    }
}
