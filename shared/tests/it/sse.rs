//! Server-sent events, as the standard has them.

use shared::formats::sse::EventReader;

use crate::test;

fn events(pieces: &[&[u8]]) -> Vec<String> {
    let mut events = Vec::new();
    let mut receive = |data: &[u8]| events.push(String::from_utf8(data.to_vec()).unwrap());
    let mut reader = EventReader::default();
    for piece in pieces {
        reader.read(piece, &mut receive);
    }
    reader.finish(receive);
    events
}

#[test]
fn the_examples_of_the_standard_read_as_it_says() {
    for (stream, expected) in [
        (
            "data: This is the first message.\n\ndata: This is the second message, it\ndata: has two lines.\n\ndata: This is the third message.\n\n",
            &[
                "This is the first message.",
                "This is the second message, it\nhas two lines.",
                "This is the third message.",
            ][..],
        ),
        (
            "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
            &["73857293", "2153"],
        ),
        ("data: YHOO\ndata: +2\ndata: 10\n\n", &["YHOO\n+2\n10"]),
        // A comment, an id, an id without a value, and a second space that belongs to the data.
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            &["first event", "second event", " third event"],
        ),
        // Data without a value is not told; two lines of it are one line feed.
        ("data\n\ndata\ndata\n\n", &["\n"]),
        ("data:test\n\ndata: test\n\n", &["test", "test"]),
    ] {
        assert_eq!(events(&[stream.as_bytes()]), expected, "{stream:?}");
    }
}

#[test]
fn lines_end_in_three_ways_wherever_they_are_cut() {
    let stream = ": a\ndata: 1\ndata: 2\n\nother: 3\ndata: 4\n\n";
    for end in ["\n", "\r", "\r\n"] {
        let stream = stream.replace('\n', end);
        assert_eq!(events(&[stream.as_bytes()]), ["1\n2", "4"], "{end:?}");
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(events(&bytes), ["1\n2", "4"], "{end:?}");
    }
    // Mixed: a CRLF is one end, two carriage returns are two.
    assert_eq!(
        events(&[b"data: 1\r\ndata: 2\r\rdata: 3\n\r\n"]),
        ["1\n2", "3"]
    );
}

#[test]
fn a_byte_order_mark_counts_before_the_first_line_only() {
    assert_eq!(events(&["\u{feff}data: 1\n\n".as_bytes()]), ["1"]);
    let twice = "\u{feff}data: 1\n\n\u{feff}data: 2\n\n";
    assert_eq!(events(&[twice.as_bytes()]), ["1"]);
}

#[test]
fn an_event_that_is_not_ended_counts() {
    for stream in ["data: 1", "data: 1\n", "data: 1\r\n", "data: 1\n\n"] {
        assert_eq!(events(&[stream.as_bytes()]), ["1"], "{stream:?}");
    }
    assert!(events(&[b": nothing"]).is_empty() && events(&[]).is_empty());
}

#[test]
fn an_event_that_is_too_long_is_given_up_alone() {
    let long = "12345678,".repeat(600_000);
    let folded = format!("data: {}\n", "1".repeat(200_000)).repeat(30);
    let stream = format!("data: 1\n\ndata: {long}\ndata: 2\n\n{folded}\n: {long}\ndata: 3\n\n");
    assert_eq!(events(&[stream.as_bytes()]), ["1", "3"]);
}
