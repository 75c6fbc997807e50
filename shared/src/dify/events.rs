//! Dify's stream of server-sent events, read from a copy of its bytes.

use serde_json::Value;

use super::skim::Skimmer;

/// Takes the bytes of a stream in whatever pieces they come, and gives the events that carry JSON.
/// A ping carries none (`event: ping`), nor does a comment.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Skimmer,
    /// The event's data so far.
    data: Option<Vec<u8>>,
}

impl EventReader {
    /// Hands every event that ends in these bytes to `see`.
    pub fn read(&mut self, bytes: &[u8], mut see: impl FnMut(&Value)) {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
            } else if let Some(event) = self.end_line() {
                see(&event);
            }
        }
    }

    /// The stream has ended. An event whose data is complete counts even if the empty line after it
    /// is missing: what it says was used, was used.
    pub fn finish(mut self, mut see: impl FnMut(&Value)) {
        for event in [self.end_line(), self.end_line()].into_iter().flatten() {
            see(&event);
        }
    }

    fn end_line(&mut self) -> Option<Value> {
        // A line that is too long is as if it were not there, and its event is one without data.
        let mut line = self.line.take().ok()?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.is_empty() {
            let data = self.data.take()?;
            return serde_json::from_slice(&data).ok();
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            match &mut self.data {
                // Dify writes one line; the format allows several.
                Some(so_far) => {
                    so_far.push(b'\n');
                    so_far.extend_from_slice(data);
                }
                None => self.data = Some(data.to_vec()),
            }
        }
        None
    }
}
