//! What requests to a model ask for, and what their answers used.

use serde_json::{Value, json};
use shared::formats::openai::{CallRequest, ModelAnswer, StreamReader, asking_for_usage};
use shared::tokens::Tokens;

use crate::test;

/// As OpenAI streams it with the usage asked for: the last chunk before the end tells it.
const STREAM: &str = concat!(
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    ": keep-alive\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"你好 there\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":150,\"prompt_tokens_details\":{\"cached_tokens\":60},\"completion_tokens_details\":{\"reasoning_tokens\":20}}}\n\n",
    "data: [DONE]\n\n",
);

/// The same without the chunk that tells the usage.
fn without_usage() -> String {
    let lines: Vec<&str> = STREAM.split_inclusive("\n\n").collect();
    let [first, comment, second, third, _, done] = lines.as_slice() else {
        panic!("six parts");
    };
    [*first, *comment, *second, *third, *done].concat()
}

const USED: Tokens = Tokens {
    input: 40,
    cached_input: 60,
    cache_write: 0,
    output: 30,
    reasoning: 20,
};

fn read(pieces: &[&[u8]], hides_usage: bool) -> (Vec<u8>, ModelAnswer) {
    let mut reader = StreamReader::new(hides_usage);
    let mut onward = Vec::new();
    for piece in pieces {
        reader.read(piece, &mut onward);
    }
    let answer = reader.finish(&mut onward);
    (onward, answer)
}

fn usage_of(usage: &Value) -> Option<Tokens> {
    let body = json!({ "id": "chatcmpl-1", "choices": [], "usage": usage }).to_string();
    ModelAnswer::of(body.as_bytes())
        .usage
        .map(|usage| usage.tokens)
}

#[test]
fn a_client_that_asked_for_the_usage_gets_every_byte() {
    let (onward, answer) = read(&[STREAM.as_bytes()], false);
    assert_eq!(onward, STREAM.as_bytes());
    assert_eq!(answer.usage.map(|usage| usage.tokens), Some(USED));
    assert_eq!(answer.id.as_deref(), Some("chatcmpl-1"));
    assert!(!answer.has_error);
}

#[test]
fn a_client_that_did_not_ask_for_the_usage_gets_all_but_that_chunk() {
    let (onward, answer) = read(&[STREAM.as_bytes()], true);
    assert_eq!(String::from_utf8(onward).unwrap(), without_usage());
    assert_eq!(answer.usage.map(|usage| usage.tokens), Some(USED));
    // The same with the other kind of line ends, and with the last line cut short.
    let (onward, _) = read(&[STREAM.replace('\n', "\r\n").as_bytes()], true);
    let expected = without_usage().replace('\n', "\r\n");
    assert_eq!(String::from_utf8(onward).unwrap(), expected);
    let (onward, _) = read(&[STREAM.trim_end().as_bytes()], true);
    assert_eq!(
        String::from_utf8(onward).unwrap(),
        without_usage().trim_end()
    );
}

#[test]
fn chunks_that_carry_more_than_the_usage_are_never_taken_out() {
    for chunk in [
        // Azure begins with what its filters found.
        r#"data: {"id":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
        // Others add the usage to the last part of the answer.
        r#"data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"total_tokens":2}}"#,
        r#"data: {"choices":[],"usage":{}}"#,
        r#"data: {"choices":[],"usage":null}"#,
        r#"data: {"usage":{"prompt_tokens":1}}"#,
        "event: ping",
        "data: not JSON",
        "",
    ] {
        let stream = format!("{chunk}\n\ndata: [DONE]\n\n");
        let (onward, _) = read(&[stream.as_bytes()], true);
        assert_eq!(String::from_utf8(onward).unwrap(), stream);
    }
}

#[test]
fn the_last_usage_counts_where_it_grows() {
    let stream = r#"data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}
data: {"choices":[{"delta":{"content":"b"}}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}
data: [DONE]
"#;
    let (_, answer) = read(&[stream.as_bytes()], true);
    assert_eq!(
        answer.usage.map(|usage| usage.tokens),
        Some(Tokens::new(5, 2))
    );
}

#[test]
fn a_line_too_long_to_wait_for_passes_unread() {
    let long = format!("data: {}", "x".repeat(9 * 1024 * 1024));
    let stream = format!("{long}\n\n{STREAM}");
    let pieces: Vec<&[u8]> = stream.as_bytes().chunks(100_000).collect();
    let (onward, answer) = read(&pieces, true);
    assert!(onward == format!("{long}\n\n{}", without_usage()).as_bytes());
    assert_eq!(answer.usage.map(|usage| usage.tokens), Some(USED));
    let (onward, _) = read(&pieces, false);
    assert!(onward == stream.as_bytes());
}

#[test]
fn an_error_inside_a_stream_and_an_answer_without_usage_are_seen() {
    let (_, answer) = read(
        &[b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n"],
        true,
    );
    assert!(answer.has_error && answer.usage.is_none() && answer.answer.tokens() == 0);
    let stream: String = STREAM.split_inclusive("\n\n").take(4).collect();
    let (_, answer) = read(&[stream.as_bytes()], true);
    assert_eq!(
        (answer.usage, answer.answer.tokens()),
        (None, 4),
        "你 好 and two for “ there”"
    );
    // Arguments of tools are part of the answer; names of things are not.
    let body = json!({ "choices": [{ "message": { "role": "assistant", "content": null,
        "tool_calls": [{ "id": "call_abcdef", "type": "function",
            "function": { "name": "find", "arguments": "{\"q\":12}" } }] } }] });
    assert_eq!(
        ModelAnswer::of(body.to_string().as_bytes()).answer.tokens(),
        3
    );
    assert_eq!(ModelAnswer::of(b"<html>"), ModelAnswer::default());
}

#[test]
fn counts_that_contain_each_other_become_counts_that_exclude_each_other() {
    for (usage, expected) in [
        (
            json!({ "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150 }),
            Tokens::new(100, 50),
        ),
        // Embeddings.
        (
            json!({ "prompt_tokens": 8, "total_tokens": 8 }),
            Tokens::new(8, 0),
        ),
        (
            json!({ "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
                "prompt_tokens_details": { "cached_tokens": 60, "audio_tokens": 0 },
                "completion_tokens_details": { "reasoning_tokens": 20 } }),
            USED,
        ),
        // DeepSeek's way to tell cached tokens.
        (
            json!({ "prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100,
                "prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40 }),
            Tokens {
                input: 40,
                cached_input: 60,
                ..Tokens::default()
            },
        ),
        // Thinking that only the total counts.
        (
            json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45,
                "completion_tokens_details": { "reasoning_tokens": 30 } }),
            Tokens {
                input: 10,
                output: 5,
                reasoning: 30,
                ..Tokens::default()
            },
        ),
        // A part is never more than the whole.
        (
            json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": { "cached_tokens": 11 },
                "completion_tokens_details": { "reasoning_tokens": 6 } }),
            Tokens {
                cached_input: 10,
                reasoning: 5,
                ..Tokens::default()
            },
        ),
        (
            json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": null, "completion_tokens_details": null }),
            Tokens::new(10, 5),
        ),
    ] {
        assert_eq!(usage_of(&usage), Some(expected), "{usage}");
    }
    for usage in [
        json!(null),
        json!({}),
        json!("many"),
        json!({ "prompt_tokens": -1 }),
    ] {
        assert_eq!(usage_of(&usage), None, "{usage}");
    }
}

#[test]
fn a_request_tells_model_user_and_bounds() {
    let body = json!({ "model": "GPT-4", "user": " u1 ", "stream": true, "max_tokens": 100,
        "max_completion_tokens": 200, "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": "12345678" }] });
    let request = CallRequest::parse(body.to_string().as_bytes()).unwrap();
    assert_eq!(request.model_name.as_str(), "GPT-4");
    assert_eq!(request.user.as_deref(), Some("u1"));
    assert!(request.is_stream && request.wants_usage);
    assert_eq!(request.output_tokens_max, Some(200));
    assert_eq!(request.input_tokens, 3, "the text and its role");

    let request = CallRequest::parse(br#"{"model":"m","user":"","stream":null}"#).unwrap();
    assert!(request.user.is_none() && !request.is_stream && !request.wants_usage);
    assert_eq!(request.output_tokens_max, None);
    for (body, field) in [
        ("{}", Some("model")),
        (r#"{"model":1}"#, Some("model")),
        (r#"{"model":" "}"#, Some("model")),
        ("[]", None),
        ("", None),
    ] {
        let problem = CallRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!(problem.field_name(), field, "{body}");
    }
}

#[test]
fn the_bytes_of_a_picture_are_not_counted_as_text() {
    let picture = format!("data:image/png;base64,{}", "A".repeat(1_000_000));
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": picture } },
        { "type": "input_audio", "input_audio": { "data": "AAAA".repeat(1000) } },
    ] }] });
    let request = CallRequest::parse(body.to_string().as_bytes()).unwrap();
    assert!(request.input_tokens < 20, "{}", request.input_tokens);
    // Token ids, one or several lists of them, are counted as they are.
    let body = json!({ "model": "m", "input": [[1, 2, 3], [4]] });
    let request = CallRequest::parse(body.to_string().as_bytes()).unwrap();
    assert_eq!(request.input_tokens, 4);
}

#[test]
fn asking_for_the_usage_changes_nothing_else() {
    let body = r#"{"temperature":0.10,"model":"m","seed":12345678901234567890123,"stream":true,
        "stream_options":{"include_obfuscation":false,"include_usage":false}}"#;
    let asked = String::from_utf8(asking_for_usage(body.as_bytes()).unwrap()).unwrap();
    assert_eq!(
        asked,
        r#"{"model":"m","seed":12345678901234567890123,"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true},"temperature":0.10}"#
    );
    for body in [r#"{"model":"m"}"#, r#"{"model":"m","stream_options":null}"#] {
        let asked = asking_for_usage(body.as_bytes()).unwrap();
        let asked: Value = serde_json::from_slice(&asked).unwrap();
        let expected = json!({ "model": "m", "stream_options": { "include_usage": true } });
        assert_eq!(asked, expected);
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod cut_anywhere {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However a stream is cut into pieces, the client's bytes and the usage are the same.
        #[test]
        fn a_stream_reads_the_same(
            mut cuts in prop::collection::vec(0..=STREAM.len(), 0..40),
            hides_usage: bool,
            is_crlf: bool,
        ) {
            let whole = if is_crlf { STREAM.replace('\n', "\r\n") } else { STREAM.to_owned() };
            cuts.push(whole.len());
            cuts.sort_unstable();
            let mut from = 0;
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(&whole.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(read(&pieces, hides_usage), read(&[whole.as_bytes()], hides_usage));
        }

        /// A stream that breaks off anywhere gives the client no byte that was not sent, and none
        /// of the chunk that is hidden.
        #[test]
        fn a_broken_stream_passes_as_far_as_it_came(end in 0..=STREAM.len()) {
            let came = &STREAM.as_bytes()[..end];
            let (onward, _) = read(&[came], false);
            prop_assert_eq!(onward, came);
            let (onward, answer) = read(&[came], true);
            let expected = without_usage();
            if answer.usage.is_some() || expected.as_bytes().starts_with(came) {
                prop_assert!(expected.as_bytes().starts_with(&onward));
            } else {
                // The chunk was cut before it could be read as one.
                prop_assert_eq!(onward, came);
            }
        }
    }
}
