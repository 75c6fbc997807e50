//! A bounded copy of JSON that passes by: what is too large in it is left out.

/// Longer strings are copied as empty ones: what is read from an event is short, and what is long
/// is a file or an audio in base64.
const STRING_BYTES_MAX: usize = 256 * 1024;
/// Longer objects and lists are copied as `null`, from the third level down: what an app's author
/// puts out, or what was retrieved, stands there beside what is read.
const PART_BYTES_MAX: usize = 1024 * 1024;
/// The same for those a level deeper, so that they do not take along what stands beside them.
const INNER_PART_BYTES_MAX: usize = PART_BYTES_MAX / 2;
/// JSON that is still longer without all that is given up.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much is kept of the beginning of JSON that was given up.
const START_BYTES: usize = 4 * 1024;

#[derive(Debug, Clone, Copy, Default)]
enum JsonPlace {
    #[default]
    Outside,
    /// In a string that begins there in the copy.
    String { from: usize, is_escaped: bool },
    /// In a string that is too long.
    LongString { is_escaped: bool },
    /// In an object or a list that is too long, with so many to be closed.
    LongPart { open: usize, string: InString },
}

/// Whether what is left out is in a string.
#[derive(Debug, Clone, Copy)]
enum InString {
    No,
    Yes { is_escaped: bool },
}

/// Copies one JSON text, byte by byte, wherever it is cut on the way.
#[derive(Debug, Default)]
pub struct BoundedJson {
    copy: Vec<u8>,
    place: JsonPlace,
    /// Objects and lists that are open, and where those of the third and the fourth level begin.
    depth: usize,
    third: usize,
    fourth: usize,
    is_too_long: bool,
}

impl BoundedJson {
    pub fn push(&mut self, byte: u8) {
        if self.is_too_long {
            return;
        }
        // A backslash takes away the meaning of the byte after it, of a second backslash too.
        let escapes = |is_escaped: bool| !is_escaped && byte == b'\\';
        let ends = |is_escaped: bool| !is_escaped && byte == b'"';
        self.place = match self.place {
            JsonPlace::Outside if byte == b'"' => JsonPlace::String {
                from: self.copy.len() + 1,
                is_escaped: false,
            },
            JsonPlace::Outside => {
                self.count_bracket(byte);
                JsonPlace::Outside
            }
            JsonPlace::String { is_escaped, .. } | JsonPlace::LongString { is_escaped }
                if ends(is_escaped) =>
            {
                JsonPlace::Outside
            }
            JsonPlace::String { from, is_escaped }
                if self.copy.len() - from >= STRING_BYTES_MAX =>
            {
                self.copy.truncate(from);
                JsonPlace::LongString {
                    is_escaped: escapes(is_escaped),
                }
            }
            JsonPlace::String { from, is_escaped } => JsonPlace::String {
                from,
                is_escaped: escapes(is_escaped),
            },
            JsonPlace::LongString { is_escaped } => JsonPlace::LongString {
                is_escaped: escapes(is_escaped),
            },
            JsonPlace::LongPart { open, string } => {
                self.place = after_left_out(open, string, byte);
                return;
            }
        };
        if matches!(self.place, JsonPlace::LongString { .. }) {
            return;
        }
        self.copy.push(byte);
        if matches!(self.place, JsonPlace::Outside) {
            self.leave_out_long_parts();
        }
        if self.copy.len() > BYTES_MAX {
            self.copy = self.copy.get(..START_BYTES).unwrap_or_default().to_vec();
            self.is_too_long = true;
        }
    }

    fn count_bracket(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                match self.depth {
                    3 => self.third = self.copy.len(),
                    4 => self.fourth = self.copy.len(),
                    _ => {}
                }
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Puts `null` in the place of an open object or list that is too long.
    fn leave_out_long_parts(&mut self) {
        let is_long = |from: usize, max| self.copy.len().saturating_sub(from) > max;
        let (level, from) = if self.depth >= 4 && is_long(self.fourth, INNER_PART_BYTES_MAX) {
            (4, self.fourth)
        } else if self.depth >= 3 && is_long(self.third, PART_BYTES_MAX) {
            (3, self.third)
        } else {
            return;
        };
        self.copy.truncate(from);
        self.copy.extend_from_slice(b"null");
        self.place = JsonPlace::LongPart {
            open: self.depth + 1 - level,
            string: InString::No,
        };
        self.depth = level - 1;
    }

    /// The copy, and a fresh start; when the JSON was too long, only its beginning.
    pub fn take(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let json = std::mem::take(self);
        if json.is_too_long {
            Err(json.copy)
        } else {
            Ok(json.copy)
        }
    }
}

/// Where one more byte of a part that is too long leads.
const fn after_left_out(open: usize, string: InString, byte: u8) -> JsonPlace {
    let (open, string) = match (string, byte) {
        (InString::No, b'"') => (open, InString::Yes { is_escaped: false }),
        (InString::No, b'{' | b'[') => (open + 1, string),
        (InString::No, b'}' | b']') => (open - 1, string),
        (InString::No, _) => (open, string),
        (InString::Yes { is_escaped: false }, b'"') => (open, InString::No),
        (InString::Yes { is_escaped }, _) => {
            let is_escaped = !is_escaped && byte == b'\\';
            (open, InString::Yes { is_escaped })
        }
    };
    if open == 0 {
        JsonPlace::Outside
    } else {
        JsonPlace::LongPart { open, string }
    }
}
