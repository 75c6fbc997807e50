//! Requests of HTTP/1.1, as bytes.

use std::io::Write;

/// Before each request: everything but the length and the body.
pub fn head(method: &str, path: &str, key: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n")
}

/// Writes a request whose body is JSON.
pub fn write_post(request: &mut Vec<u8>, head: &str, body: &[u8]) {
    request.clear();
    request.extend_from_slice(head.as_bytes());
    request.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
    // Writing to memory cannot fail.
    drop(write!(request, "{}\r\n\r\n", body.len()));
    request.extend_from_slice(body);
}
