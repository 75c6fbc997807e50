//! A copy of JSON that goes by: all that is needed of it, and bounded.

/// Longer strings are copied as empty ones: what is read from an event is short, and what is long
/// is a file or an audio in base64.
const STRING_BYTES_MAX: usize = 256 * 1024;
/// JSON that is still longer without its long strings is given up.
const BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Clone, Copy, Default)]
enum At {
    #[default]
    Outside,
    /// In a string that begins there in the copy.
    String { from: usize, is_escaped: bool },
    /// In a string that is too long.
    LongString { is_escaped: bool },
}

/// Copies one JSON text, byte by byte, wherever it is cut on the way.
#[derive(Debug, Default)]
pub(super) struct Skimmer {
    copy: Vec<u8>,
    at: At,
    is_given_up: bool,
}

impl Skimmer {
    pub(super) fn push(&mut self, byte: u8) {
        if self.is_given_up {
            return;
        }
        // A backslash takes away the meaning of the byte after it, of a second backslash too.
        let escapes = |is_escaped: bool| !is_escaped && byte == b'\\';
        let ends = |is_escaped: bool| !is_escaped && byte == b'"';
        self.at = match self.at {
            At::Outside if byte == b'"' => At::String {
                from: self.copy.len() + 1,
                is_escaped: false,
            },
            At::Outside => At::Outside,
            At::String { is_escaped, .. } | At::LongString { is_escaped } if ends(is_escaped) => {
                At::Outside
            }
            At::String { from, is_escaped } if self.copy.len() - from >= STRING_BYTES_MAX => {
                self.copy.truncate(from);
                At::LongString {
                    is_escaped: escapes(is_escaped),
                }
            }
            At::String { from, is_escaped } => At::String {
                from,
                is_escaped: escapes(is_escaped),
            },
            At::LongString { is_escaped } => At::LongString {
                is_escaped: escapes(is_escaped),
            },
        };
        if matches!(self.at, At::LongString { .. }) {
            return;
        }
        self.copy.push(byte);
        if self.copy.len() > BYTES_MAX {
            self.copy = Vec::new();
            self.is_given_up = true;
        }
    }

    /// The copy, and a fresh start; `None` when the JSON was too long.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let done = std::mem::take(self);
        (!done.is_given_up).then_some(done.copy)
    }
}
