//! Reads HTTP/1.1 answers, however their bytes are cut: only what the measured servers send.

use anyhow::{Context, Result, bail};

/// Longer heads, and longer lines in chunked bodies, are a fault.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// One answer while it arrives.
#[derive(Debug, Default)]
pub struct HttpAnswer {
    status: u16,
    head: Vec<u8>,
    body: Vec<u8>,
    rest: Rest,
}

/// What is still to come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rest {
    #[default]
    Head,
    /// So many bytes of the body.
    Sized(usize),
    Chunks(ChunkState),
    Nothing,
}

/// Where in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// In the digits of its size: what they say so far.
    Size(Option<usize>),
    /// In what follows the digits, up to the line's end.
    Extension(usize),
    Data(usize),
    /// In the line end behind the data.
    DataEnd,
    /// In the lines behind the last chunk; an empty one ends the answer.
    Trailer {
        is_empty: bool,
    },
}

impl HttpAnswer {
    /// Forgets this answer, for the next one on the connection.
    pub fn clear(&mut self) {
        self.head.clear();
        self.body.clear();
        self.rest = Rest::Head;
    }

    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The body, as far as it has arrived, without the chunked coding.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Hands out what has arrived of a body that never ends.
    pub fn drain(&mut self) -> std::vec::Drain<'_, u8> {
        self.body.drain(..)
    }

    pub fn has_head(&self) -> bool {
        self.rest != Rest::Head
    }

    pub fn is_complete(&self) -> bool {
        self.rest == Rest::Nothing
    }

    /// Takes bytes and says how many of them belonged to this answer.
    ///
    /// # Errors
    /// When it is not an HTTP/1.1 answer with a known end.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut left = bytes;
        while !left.is_empty() {
            let taken = match self.rest {
                Rest::Nothing => break,
                Rest::Head => self.take_head(left)?,
                Rest::Sized(missing) => {
                    let data = left.get(..missing).unwrap_or(left);
                    self.body.extend_from_slice(data);
                    self.rest = match missing - data.len() {
                        0 => Rest::Nothing,
                        missing => Rest::Sized(missing),
                    };
                    data.len()
                }
                Rest::Chunks(chunk) => self.take_chunk(chunk, left)?,
            };
            left = left.get(taken..).unwrap_or_default();
        }
        Ok(bytes.len() - left.len())
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<usize> {
        let before = self.head.len();
        // The end may have begun with the last bytes of the time before.
        let search_from = before.saturating_sub(HEAD_END.len() - 1);
        self.head.extend_from_slice(bytes);
        let end = self
            .head
            .get(search_from..)
            .unwrap_or_default()
            .windows(HEAD_END.len())
            .position(|window| window == HEAD_END);
        let Some(end) = end else {
            if self.head.len() > HEAD_BYTES_MAX {
                bail!("an answer's head is too long");
            }
            return Ok(bytes.len());
        };
        let length = search_from + end + HEAD_END.len();
        self.head.truncate(length);
        (self.status, self.rest) = read_head(&self.head)?;
        self.head.clear();
        Ok(length - before)
    }

    fn take_chunk(&mut self, chunk: ChunkState, bytes: &[u8]) -> Result<usize> {
        let Some(&byte) = bytes.first() else {
            return Ok(0);
        };
        let (next, taken) = match chunk {
            ChunkState::Size(size) => match char::from(byte).to_digit(16) {
                Some(digit) => {
                    let digit = usize::try_from(digit)?;
                    let size = size.unwrap_or(0).checked_mul(16);
                    let size = size.and_then(|size| size.checked_add(digit));
                    let size = size.context("a chunk's size is too large")?;
                    (ChunkState::Size(Some(size)), 1)
                }
                None => (
                    ChunkState::Extension(size.context("a chunk without a size")?),
                    0,
                ),
            },
            ChunkState::Extension(size) => match (byte, size) {
                (b'\n', 0) => (ChunkState::Trailer { is_empty: true }, 1),
                (b'\n', size) => (ChunkState::Data(size), 1),
                _ => (chunk, 1),
            },
            ChunkState::Data(missing) => {
                let data = bytes.get(..missing).unwrap_or(bytes);
                self.body.extend_from_slice(data);
                match missing - data.len() {
                    0 => (ChunkState::DataEnd, data.len()),
                    missing => (ChunkState::Data(missing), data.len()),
                }
            }
            ChunkState::DataEnd => match byte {
                b'\r' => (ChunkState::DataEnd, 1),
                b'\n' => (ChunkState::Size(None), 1),
                _ => bail!("a chunk is longer than its size"),
            },
            ChunkState::Trailer { is_empty } => match byte {
                b'\n' if is_empty => {
                    self.rest = Rest::Nothing;
                    return Ok(1);
                }
                b'\n' => (ChunkState::Trailer { is_empty: true }, 1),
                b'\r' => (chunk, 1),
                _ => (ChunkState::Trailer { is_empty: false }, 1),
            },
        };
        self.rest = Rest::Chunks(next);
        Ok(taken)
    }
}

/// Status, and what follows the head.
fn read_head(head: &[u8]) -> Result<(u16, Rest)> {
    let head = std::str::from_utf8(head).context("an answer's head is not UTF-8")?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .context("not an HTTP/1.1 answer")?;
    // A message that only announces the answer.
    if (100..200).contains(&status) {
        return Ok((status, Rest::Head));
    }
    if status == 204 || status == 304 {
        return Ok((status, Rest::Nothing));
    }
    let mut length = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                bail!("an answer in the coding {value}");
            }
            return Ok((status, Rest::Chunks(ChunkState::Size(None))));
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse().context("an answer's length")?);
        }
    }
    let rest = match length.context("an answer without a length")? {
        0 => Rest::Nothing,
        length => Rest::Sized(length),
    };
    Ok((status, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZED: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-LENGTH: 14\r\n\r\n{\"ok\":\r\n\r\ntrue";
    const CHUNKED: &str = "HTTP/1.1 422 Unprocessable\r\nTransfer-Encoding: Chunked\r\n\r\n\
        5\r\nab\r\nc\r\n1B;name=value\r\n0123456789012345678901234\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n";
    const NOTHING: &str = "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    const ANNOUNCED: &str =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nhi";

    const ALL: [(&str, u16, &str); 5] = [
        (SIZED, 200, "{\"ok\":\r\n\r\ntrue"),
        (CHUNKED, 422, "ab\r\nc0123456789012345678901234\r\n"),
        (EMPTY, 204, ""),
        (NOTHING, 503, ""),
        (ANNOUNCED, 201, "hi"),
    ];

    fn assert_read(answer: &HttpAnswer, status: u16, body: &str) {
        assert!(answer.is_complete(), "{answer:?}");
        assert_eq!(answer.status(), status);
        assert_eq!(std::str::from_utf8(answer.body()), Ok(body));
    }

    #[test]
    fn an_answer_is_the_same_wherever_it_is_cut() {
        for (text, status, body) in ALL {
            for cut in 0..=text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let mut answer = HttpAnswer::default();
                assert_eq!(answer.take(first).expect("read"), first.len());
                assert_eq!(answer.is_complete(), second.is_empty(), "cut at {cut}");
                assert_eq!(answer.take(second).expect("read"), second.len());
                assert_read(&answer, status, body);
            }
        }
    }

    #[test]
    fn an_answer_may_come_byte_by_byte() {
        for (text, status, body) in ALL {
            let mut answer = HttpAnswer::default();
            for byte in text.as_bytes() {
                assert!(!answer.is_complete());
                assert_eq!(answer.take(&[*byte]).expect("read"), 1);
            }
            assert_read(&answer, status, body);
        }
    }

    #[test]
    fn what_follows_an_answer_is_left_for_the_next() {
        let mut answer = HttpAnswer::default();
        let mut stream: Vec<u8> = ALL.iter().flat_map(|(text, ..)| text.bytes()).collect();
        for (text, status, body) in ALL {
            answer.clear();
            assert_eq!(answer.take(&stream).expect("read"), text.len());
            stream.drain(..text.len());
            assert_read(&answer, status, body);
        }
        assert!(stream.is_empty());
    }

    #[test]
    fn a_body_without_end_is_handed_out_as_it_comes() {
        let mut answer = HttpAnswer::default();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(answer.take(head.as_bytes()).expect("read"), head.len());
        assert!(answer.has_head());
        for text in ["one", "two"] {
            let chunk = format!("3\r\n{text}\r\n");
            assert_eq!(answer.take(chunk.as_bytes()).expect("read"), chunk.len());
            assert_eq!(answer.drain().collect::<Vec<_>>(), text.as_bytes());
            assert!(!answer.is_complete());
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 2xx OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        ] {
            assert!(
                HttpAnswer::default().take(text.as_bytes()).is_err(),
                "{text}"
            );
        }
    }
}
