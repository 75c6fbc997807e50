//! The body of the webhook.

use serde_json::{Value, json};
use shared::formats::dify::parse_webhook;
use shared::problem::{FieldFault, Problem};
use shared::tokens::Tokens;
use shared::usage::MessageUsage;

use crate::test;
use crate::values::{at, model};

const SAMPLE: &[u8] = include_bytes!("../fixtures/webhook_message_end.json");
const DIFY_EVENT: &[u8] = include_bytes!("../fixtures/sse_message_end.json");

fn parse(body: &Value) -> Result<MessageUsage, Problem> {
    parse_webhook(body.to_string().as_bytes())
}

/// A fixture with one value set, by JSON pointer to its parent.
fn with(fixture: &[u8], parent: &str, name: &str, value: Value) -> Value {
    let mut body: Value = serde_json::from_slice(fixture).unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(name.to_owned(), value);
    body
}

fn without(fixture: &[u8], parent: &str, name: &str) -> Value {
    let mut body: Value = serde_json::from_slice(fixture).unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(name).unwrap();
    body
}

#[test]
fn the_sample_is_read() {
    let usage = parse_webhook(SAMPLE).unwrap();
    assert_eq!(usage.message_id, "msg_456");
    assert_eq!(usage.user_id.as_str(), "user_789");
    assert_eq!(usage.conversation_id.as_deref(), Some("conv_123"));
    assert_eq!(usage.request_id.as_deref(), Some("req_abc123"));
    assert_eq!(usage.occurred_at, Some(at("2024-01-15T10:30:00Z")));
    assert_eq!(usage.reported_total, Some(2300));
    assert!(!usage.is_contradictory());
    let [call] = usage.calls.as_slice() else {
        panic!("one call, not {:?}", usage.calls);
    };
    assert_eq!(call.model_name, model("gpt-4"));
    assert_eq!(call.tokens, Tokens::new(1500, 800));
}

#[test]
fn categories_beyond_input_and_output_are_read() {
    let mut body = with(SAMPLE, "/data", "cached_input_tokens", json!(1));
    body["data"]["cache_write_tokens"] = json!(2);
    body["data"]["reasoning_tokens"] = json!(3);
    let usage = parse(&body).unwrap();
    assert_eq!(
        usage.calls[0].tokens,
        Tokens {
            input: 1500,
            cached_input: 1,
            cache_write: 2,
            output: 800,
            reasoning: 3
        }
    );
    // The sender's total is now wrong, and that shows.
    assert_eq!(usage.total_tokens(), 2306);
    assert!(usage.is_contradictory());
}

#[test]
fn difys_own_event_is_read_with_model_and_user_beside_it() {
    let at_top = {
        let mut body = with(DIFY_EVENT, "", "model_name", json!("gpt-4o"));
        body["user_id"] = json!("customer-4821");
        body
    };
    let in_data = with(
        DIFY_EVENT,
        "",
        "data",
        json!({"model_name": "gpt-4o", "user_id": "customer-4821"}),
    );
    let usage = parse(&at_top).unwrap();
    assert_eq!(parse(&in_data).unwrap(), usage);
    assert_eq!(usage.message_id, "9da23599-e713-473b-982c-4328d4f5c78a");
    assert_eq!(usage.user_id.as_str(), "customer-4821");
    assert_eq!(usage.calls[0].tokens, Tokens::new(1033, 128));
    assert_eq!(usage.reported_total, Some(1161));
    assert_eq!(usage.occurred_at, Some(at("2024-01-16T12:20:29Z")));

    // Old versions name the message as `id` only.
    let mut old = at_top;
    old.as_object_mut().unwrap().remove("message_id").unwrap();
    assert_eq!(parse(&old).unwrap(), usage);
}

#[test]
fn unknown_values_count_as_absent() {
    for body in [
        with(SAMPLE, "/data", "conversation_id", Value::Null),
        with(SAMPLE, "/data", "conversation_id", json!("")),
        with(SAMPLE, "/data", "conversation_id", json!("  ")),
        without(SAMPLE, "/data", "conversation_id"),
    ] {
        assert_eq!(parse(&body).unwrap().conversation_id, None);
    }
    for name in ["timestamp", "total_tokens"] {
        assert!(parse(&without(SAMPLE, "/data", name)).is_ok(), "{name}");
        assert!(parse(&with(SAMPLE, "/data", name, Value::Null)).is_ok());
    }
    assert!(parse(&with(SAMPLE, "/data", "something_new", json!({"a": [1]}))).is_ok());
}

#[test]
fn bodies_that_are_no_json_are_400() {
    for body in [
        &b""[..],
        b"   ",
        b"{",
        b"not json",
        b"{\"event\":\"message_end\"} trailing",
        b"\xff\xfe",
        b"{\"event\":\"\xc3\x28\"}",
        b"{\"data\":{\"input_tokens\":NaN}}",
        b"{'event':'message_end'}",
    ] {
        let problem = parse_webhook(body).unwrap_err();
        assert_eq!(problem.status(), 400, "{problem:?}");
        assert_eq!(problem.code(), "invalid_json");
        assert_eq!(problem.field_name(), None);
    }
    // Deeper than any parser should follow.
    let deep = "[".repeat(100_000);
    assert_eq!(parse_webhook(deep.as_bytes()).unwrap_err().status(), 400);
}

#[test]
fn each_bad_field_is_named() {
    let event = |value| with(SAMPLE, "", "event", value);
    let data = |name, value| with(SAMPLE, "/data", name, value);
    let usage = |name, value| {
        let mut body = with(DIFY_EVENT, "/metadata/usage", name, value);
        body["model_name"] = json!("gpt-4o");
        body["user_id"] = json!("u");
        body
    };
    let not_the_event = FieldFault::NotOneOf {
        allowed: "message_end".into(),
    };
    let above_i64 = json!(u64::try_from(i64::MAX).unwrap() + 1);
    for (body, field, fault) in [
        (json!([]), "event", FieldFault::Missing),
        (json!("message_end"), "event", FieldFault::Missing),
        (json!({}), "event", FieldFault::Missing),
        (event(Value::Null), "event", FieldFault::Missing),
        (event(json!(1)), "event", FieldFault::NotText),
        (event(json!("message")), "event", not_the_event),
        (without(SAMPLE, "", "data"), "data", FieldFault::Missing),
        (
            with(SAMPLE, "", "data", json!([])),
            "data",
            FieldFault::Missing,
        ),
        (
            with(SAMPLE, "", "request_id", json!(5)),
            "request_id",
            FieldFault::NotText,
        ),
        (
            with(SAMPLE, "", "request_id", json!("a\nb")),
            "request_id",
            FieldFault::ControlCharacter,
        ),
        (
            without(SAMPLE, "/data", "message_id"),
            "data.message_id",
            FieldFault::Missing,
        ),
        (
            data("message_id", json!("")),
            "data.message_id",
            FieldFault::Empty,
        ),
        (
            data("message_id", json!(456)),
            "data.message_id",
            FieldFault::NotText,
        ),
        (
            data("message_id", json!("x".repeat(256))),
            "data.message_id",
            FieldFault::TooLong { max: 255 },
        ),
        (
            data("conversation_id", json!(true)),
            "data.conversation_id",
            FieldFault::NotText,
        ),
        (
            without(SAMPLE, "/data", "user_id"),
            "data.user_id",
            FieldFault::Missing,
        ),
        (
            data("user_id", json!("  ")),
            "data.user_id",
            FieldFault::Empty,
        ),
        (
            data("user_id", json!("a\u{0}b")),
            "data.user_id",
            FieldFault::ControlCharacter,
        ),
        (
            without(SAMPLE, "/data", "model_name"),
            "data.model_name",
            FieldFault::Missing,
        ),
        (
            data("model_name", json!({})),
            "data.model_name",
            FieldFault::NotText,
        ),
        (
            without(SAMPLE, "/data", "input_tokens"),
            "data.input_tokens",
            FieldFault::Missing,
        ),
        (
            data("input_tokens", json!("1500")),
            "data.input_tokens",
            FieldFault::NotACount,
        ),
        (
            data("input_tokens", json!(-1)),
            "data.input_tokens",
            FieldFault::NotACount,
        ),
        (
            data("input_tokens", json!(1.5)),
            "data.input_tokens",
            FieldFault::NotACount,
        ),
        (
            data("input_tokens", above_i64.clone()),
            "data.input_tokens",
            FieldFault::TooLarge,
        ),
        (
            data("output_tokens", Value::Null),
            "data.output_tokens",
            FieldFault::Missing,
        ),
        (
            data("output_tokens", json!([800])),
            "data.output_tokens",
            FieldFault::NotACount,
        ),
        (
            data("cached_input_tokens", json!(-5)),
            "data.cached_input_tokens",
            FieldFault::NotACount,
        ),
        (
            data("reasoning_tokens", json!("many")),
            "data.reasoning_tokens",
            FieldFault::NotACount,
        ),
        (
            data("total_tokens", json!("2300")),
            "data.total_tokens",
            FieldFault::NotACount,
        ),
        (
            data("timestamp", json!("yesterday")),
            "data.timestamp",
            FieldFault::NotATime,
        ),
        (
            data("timestamp", json!(1.5)),
            "data.timestamp",
            FieldFault::NotATime,
        ),
        (
            data("timestamp", json!(-99_999_999_999_i64)),
            "data.timestamp",
            FieldFault::NotATime,
        ),
        (
            data("timestamp", json!(i64::MAX)),
            "data.timestamp",
            FieldFault::NotATime,
        ),
        (
            with(DIFY_EVENT, "", "user_id", json!("u")),
            "model_name",
            FieldFault::Missing,
        ),
        (
            with(DIFY_EVENT, "", "model_name", json!("m")),
            "user_id",
            FieldFault::Missing,
        ),
        (
            usage("prompt_tokens", Value::Null),
            "metadata.usage.prompt_tokens",
            FieldFault::Missing,
        ),
        (
            usage("completion_tokens", json!("8")),
            "metadata.usage.completion_tokens",
            FieldFault::NotACount,
        ),
        (
            usage("total_tokens", above_i64),
            "metadata.usage.total_tokens",
            FieldFault::TooLarge,
        ),
    ] {
        let problem = parse(&body).expect_err(field);
        assert_eq!(problem, Problem::field(field, fault), "{body}");
        assert_eq!(problem.status(), 422);
        assert_eq!(problem.field_name(), Some(field));
    }
}

#[test]
fn names_are_trimmed_and_bounded_in_characters() {
    let body = with(SAMPLE, "/data", "user_id", json!("  user_789  "));
    assert_eq!(parse(&body).unwrap(), parse_webhook(SAMPLE).unwrap());
    // 255 characters of three bytes each.
    let longest = "点".repeat(255);
    let body = with(SAMPLE, "/data", "user_id", json!(longest));
    assert_eq!(parse(&body).unwrap().user_id.as_str(), longest);
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use shared::formats::dify::parse_webhook;

    use super::{DIFY_EVENT, SAMPLE};

    /// Any JSON, a few levels deep.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(".{0,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Every place of a body that the parser looks at.
    const PLACES: [&str; 16] = [
        "/event",
        "/data",
        "/request_id",
        "/data/message_id",
        "/data/conversation_id",
        "/data/user_id",
        "/data/model_name",
        "/data/input_tokens",
        "/data/output_tokens",
        "/data/total_tokens",
        "/data/timestamp",
        "/metadata",
        "/metadata/usage",
        "/metadata/usage/prompt_tokens",
        "/message_id",
        "/created_at",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Err(problem) = parse_webhook(&body) {
                prop_assert!(matches!(problem.status(), 400 | 422));
            }
        }

        #[test]
        fn a_body_cut_short_is_refused(length in 0..SAMPLE.len() - 3) {
            prop_assert_eq!(parse_webhook(&SAMPLE[..length]).unwrap_err().status(), 400);
        }

        /// A fixture with any value in any place is read or refused with a named field.
        #[test]
        fn any_value_anywhere_is_read_or_refused(
            fixture in prop_oneof![Just(SAMPLE), Just(DIFY_EVENT)],
            place in prop::sample::select(&PLACES[..]),
            value in values(),
        ) {
            let mut body: Value = serde_json::from_slice(fixture).unwrap();
            if let Some(found) = body.pointer_mut(place) {
                *found = value;
            }
            match parse_webhook(body.to_string().as_bytes()) {
                Ok(usage) => prop_assert!(!usage.calls.is_empty()),
                Err(problem) => {
                    prop_assert_eq!(problem.status(), 422);
                    prop_assert!(problem.field_name().is_some());
                }
            }
        }

        /// Counts arrive exactly, up to the ledger's largest.
        #[test]
        fn counts_arrive_exactly(input in 0..=i64::MAX, output in 0..=i64::MAX) {
            let mut body: Value = serde_json::from_slice(SAMPLE).unwrap();
            body["data"]["input_tokens"] = json!(input);
            body["data"]["output_tokens"] = json!(output);
            let usage = parse_webhook(body.to_string().as_bytes()).unwrap();
            prop_assert_eq!(i64::try_from(usage.calls[0].tokens.input), Ok(input));
            prop_assert_eq!(i64::try_from(usage.calls[0].tokens.output), Ok(output));
        }
    }
}
