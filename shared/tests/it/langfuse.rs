//! Traces: events as Langfuse's SDKs send them, and the messages they make.

use serde_json::{Value, json};
use shared::formats::langfuse::{AgedPart, Part, TraceUsage, TracedPart, join, parse_batch};
use shared::problem::{FieldFault, Problem};
use shared::tokens::Tokens;
use shared::usage::Evidence;
use shared::usage::MessageUsage;

use crate::test;
use crate::values::{at, model};

const V2: &str = include_str!("../fixtures/langfuse/langfuse_sdk_2.51_capture.jsonl");
const V4: &str = include_str!("../fixtures/langfuse/langfuse_sdk_4.2.0_capture.jsonl");
const TRACE: &str = include_str!("../fixtures/langfuse/ingestion_trace-create.json");
const GENERATION: &str = include_str!("../fixtures/langfuse/ingestion_generation-create.json");

const MESSAGE: &str = "9da23599-e713-473b-982c-4328d4f5c78a";
const RUN: &str = "fb47b2e6-5e43-4f90-be01-d5c5a088d156";

/// The bodies of a capture's requests that have one.
fn bodies(capture: &str) -> Vec<String> {
    let requests = capture
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    requests
        .filter(|request| request["method"] == "POST")
        .map(|request| request["body"].as_str().unwrap().to_owned())
        .collect()
}

fn told(body: &str) -> Vec<TracedPart> {
    let events = parse_batch(body.as_bytes()).unwrap();
    events
        .into_iter()
        .filter_map(|event| event.part.unwrap())
        .collect()
}

/// What one event tells.
fn event(kind: &str, body: &Value) -> Result<Option<TracedPart>, Problem> {
    let batch = json!({ "batch": [{ "id": "e", "type": kind, "timestamp": "2026-07-23T05:00:02Z", "body": body }] });
    let batch = batch.to_string();
    let mut events = parse_batch(batch.as_bytes()).unwrap();
    events.remove(0).part
}

fn part(kind: &str, body: &Value) -> Part {
    event(kind, body).unwrap().expect("a part").part
}

fn joined(trace_id: &str, parts: &[Part], is_old: bool) -> TraceUsage {
    let seen: Vec<_> = parts.iter().map(|part| AgedPart { part, is_old }).collect();
    join(trace_id, &seen, None)
}

fn messages(trace_id: &str, parts: &[Part]) -> Vec<MessageUsage> {
    let joined = joined(trace_id, parts, false);
    assert!(joined.incomplete.is_empty(), "{joined:?}");
    joined.messages.into_iter().map(|it| it.message).collect()
}

#[test]
fn both_sdks_tell_the_same_message() {
    for (capture, events) in [(V2, 3), (V4, 3)] {
        let bodies = bodies(capture);
        let count: usize = bodies
            .iter()
            .map(|body| parse_batch(body.as_bytes()).unwrap().len())
            .sum();
        assert_eq!(count, events);
        let told: Vec<TracedPart> = bodies.iter().flat_map(|body| told(body)).collect();
        assert_eq!(told.len(), 2, "the span says nothing of tokens");
        assert!(told.iter().all(|told| told.trace_id == MESSAGE));
        let parts: Vec<Part> = told.into_iter().map(|told| told.part).collect();
        let messages = messages(MESSAGE, &parts);
        assert_eq!(messages.len(), 1);
        let message = &messages[0];
        assert_eq!(message.message_id, MESSAGE);
        assert!(message.also_known_as.is_empty());
        assert_eq!(message.user_id.as_str(), "user-123");
        assert_eq!(message.evidence, Evidence::Measured);
        assert_eq!(message.reported_total, None);
        assert!(message.has_answer);
        let [call] = message.calls.as_slice() else {
            panic!("one call: {message:?}");
        };
        assert_eq!(call.call_id, None);
        assert_eq!(call.model_name, model("gpt-4o"));
        assert_eq!(call.tokens, Tokens::new(1033, 128));
    }
}

#[test]
fn a_basic_apps_message_is_whole_with_its_one_call() {
    let parts: Vec<Part> = [TRACE, GENERATION]
        .iter()
        .flat_map(|body| told(body))
        .map(|told| told.part)
        .collect();
    for parts in [parts.clone(), parts.iter().rev().cloned().collect()] {
        let joined = joined(MESSAGE, &parts, false);
        assert!(joined.is_complete);
        let message = &joined.messages[0].message;
        assert_eq!(message.user_id.as_str(), "customer-4821");
        assert_eq!(
            message.conversation_id.as_deref(),
            Some("45701982-8118-4bc5-8e9b-64562b4555f2")
        );
        assert_eq!(message.occurred_at, Some(at("2026-07-23T05:00:00.1Z")));
    }
    // Sent again by a worker that was restarted, the call has another id, but not another part.
    let again = GENERATION.replace("d71ec4c3-07b5-4deb-81c1-4e626c1f02eb", "another");
    let parts = [parts, vec![told(&again).remove(0).part]].concat();
    let messages = messages(MESSAGE, &parts);
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0], messages[1], "a duplicate for the ledger");
}

fn chatflow_trace(total: u64) -> Part {
    part(
        "trace-create",
        &json!({
            "id": MESSAGE, "name": "message", "userId": "u", "sessionId": "c", "tags": ["message", "workflow"],
            "metadata": { "workflow_run_id": RUN, "total_tokens": total, "user_id": "u" },
        }),
    )
}

fn node(id: &str, input: u64, output: u64) -> Part {
    part(
        "generation-create",
        &json!({
            "id": id, "traceId": MESSAGE, "name": "llm", "model": "gpt-4o",
            "usage": { "input": input, "output": output, "total": input + output, "unit": "TOKENS" },
            "metadata": { "node_execution_id": id, "workflow_run_id": RUN, "model_name": "gpt-4o" },
        }),
    )
}

#[test]
fn a_chatflow_is_one_message_with_a_line_for_each_node() {
    let parts = [node("n1", 100, 50), chatflow_trace(180), node("n2", 10, 20)];
    let joined = joined(MESSAGE, &parts, false);
    assert!(joined.is_complete, "its total is told");
    let [report] = joined.messages.as_slice() else {
        panic!("one message: {joined:?}");
    };
    let message = &report.message;
    assert_eq!(message.message_id, MESSAGE);
    assert_eq!(message.also_known_as, [RUN]);
    assert!(message.is_itemized());
    let ids: Vec<_> = message
        .calls
        .iter()
        .map(|call| call.call_id.as_deref().unwrap())
        .collect();
    assert_eq!(ids, ["n1", "n2"]);
    assert_eq!(message.total_tokens(), 180);

    let parts = [chatflow_trace(180), node("n1", 100, 50)];
    let unfinished = self::joined(MESSAGE, &parts, false);
    assert!(!unfinished.is_complete, "30 tokens are announced");
    assert_eq!(
        unfinished.messages.len(),
        1,
        "but what is there can be told"
    );
}

#[test]
fn a_workflow_is_known_by_its_run() {
    let trace = part(
        "trace-create",
        &json!({ "id": RUN, "userId": "u", "tags": ["workflow"], "metadata": { "workflow_run_id": RUN } }),
    );
    let messages = messages(RUN, &[trace, node("n1", 1, 2)]);
    assert_eq!(messages[0].message_id, RUN);
    assert!(messages[0].also_known_as.is_empty());
}

#[test]
fn runs_under_one_trace_id_of_the_caller_are_apart() {
    let run = |run: &str, user: &str| {
        let trace = json!({ "id": "my-trace", "userId": user, "tags": ["message", "workflow"],
            "metadata": { "workflow_run_id": run } });
        let call = json!({ "id": format!("n-{run}"), "traceId": "my-trace", "model": "m",
            "usage": { "input": 1, "output": 1 },
            "metadata": { "workflow_run_id": run, "node_execution_id": format!("n-{run}") } });
        (
            event("trace-create", &trace).unwrap().unwrap(),
            part("generation-create", &call),
        )
    };
    let (one, other) = (run("r1", "ann"), run("r2", "bob"));
    assert_ne!(one.0.part_id, other.0.part_id);
    let parts = [other.1, one.0.part, other.0.part, one.1];
    let messages = messages("my-trace", &parts);
    let mut told: Vec<_> = messages
        .iter()
        .map(|it| (it.message_id.as_str(), it.user_id.as_str(), it.calls.len()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("r1", "ann", 1), ("r2", "bob", 1)]);
}

#[test]
fn nodes_without_a_chat_come_as_spans() {
    let span = |node_type: &str, input: Value| {
        event(
            "span-create",
            &json!({ "id": "n1", "traceId": MESSAGE, "name": "Agent", "input": input,
                "output": { "text": "done", "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_price": "0E-7" } },
                "metadata": { "node_execution_id": "n1", "node_type": node_type, "workflow_run_id": RUN } }),
        )
        .unwrap()
    };
    // What an end node returns may be called `usage` too.
    assert_eq!(span("end", json!({})), None);
    assert_eq!(span("code", json!({})), None);
    let parts = [
        chatflow_trace(10),
        span(
            "agent",
            json!({ "model": { "model": "gpt-4o", "provider": "p" } }),
        )
        .unwrap()
        .part,
    ];
    let message = &messages(MESSAGE, &parts)[0];
    assert_eq!(message.calls[0].model_name, model("gpt-4o"));
    assert_eq!(message.calls[0].tokens, Tokens::new(7, 3));

    let parts = [chatflow_trace(10), span("agent", json!({})).unwrap().part];
    let message = &messages(MESSAGE, &parts)[0];
    assert_eq!(message.calls[0].model_name, model("unknown"));
    let seen = [0, 1].map(|place| AgedPart {
        part: &parts[place],
        is_old: false,
    });
    let assumed = join(MESSAGE, &seen, Some(&model("house")));
    let message = &assumed.messages[0].message;
    assert_eq!(message.calls[0].model_name, model("house"));
    assert_eq!(message.evidence, Evidence::ModelAssumed);
}

#[test]
fn what_counts_no_tokens_of_a_message_is_ignored() {
    let usage = |unit: &str| json!({ "input": 5, "output": 5, "unit": unit });
    for (kind, body) in [
        (
            "generation-create",
            json!({ "id": "g", "traceId": "t", "name": "suggested_question", "usage": usage("CHARACTERS") }),
        ),
        (
            "generation-create",
            json!({ "id": "g", "traceId": "t", "name": "suggested_question", "usage": usage("TOKENS") }),
        ),
        (
            "generation-create",
            json!({ "id": "g", "traceId": "t", "name": "other", "usage": usage("CHARACTERS") }),
        ),
        (
            "span-create",
            json!({ "id": "s", "traceId": "t", "name": "dataset_retrieval" }),
        ),
        ("score-create", json!({ "id": "s", "value": 1 })),
        ("sdk-log", json!({ "log": "hello" })),
    ] {
        assert_eq!(event(kind, &body), Ok(None), "{kind} {body}");
    }
    // The name of a conversation is made by a model too, but Dify counts it nowhere.
    let naming = part(
        "trace-create",
        &json!({ "id": "x", "name": "generate_conversation_name", "userId": "tenant" }),
    );
    let joined = joined("x", &[naming], true);
    assert!(joined.messages.is_empty() && joined.incomplete.is_empty());
}

#[test]
fn usage_is_read_in_each_of_its_shapes() {
    let tokens = |name: &str, usage: Value| {
        part(
            "generation-create",
            &json!({ "id": "g", "traceId": "t", "name": "llm", name: usage }),
        )
        .tokens
    };
    let plain = Some(Tokens::new(3, 2));
    assert_eq!(tokens("usage", json!({ "input": 3, "output": 2 })), plain);
    assert_eq!(
        tokens("usage", json!({ "promptTokens": 3, "completionTokens": 2 })),
        plain
    );
    assert_eq!(
        tokens(
            "usageDetails",
            json!({ "input": 3, "output": 2, "total": 5 })
        ),
        plain
    );
    assert_eq!(
        tokens(
            "usageDetails",
            json!({ "input": 3, "input_cached_tokens": 4, "cache_creation_input_tokens": 6, "output": 2, "output_reasoning_tokens": 1 })
        ),
        Some(Tokens {
            input: 3,
            cached_input: 4,
            cache_write: 6,
            output: 2,
            reasoning: 1,
        })
    );
    assert_eq!(tokens("usage", json!({ "unit": "TOKENS" })), None);
    assert_eq!(tokens("usage", Value::Null), None);
}

#[test]
fn a_call_waits_for_its_user_and_its_tokens() {
    let orphan = [node("n1", 1, 1)];
    for is_old in [false, true] {
        let joined = joined(MESSAGE, &orphan, is_old);
        assert!(joined.messages.is_empty(), "{joined:?}");
        assert_eq!(joined.incomplete, [0]);
    }
    let begun = part(
        "generation-create",
        &json!({ "id": "n2", "traceId": MESSAGE, "metadata": { "node_execution_id": "n2" } }),
    );
    let parts = [chatflow_trace(2), begun];
    assert_eq!(joined(MESSAGE, &parts, false).incomplete, [1]);
    let given_up = joined(MESSAGE, &parts, true);
    assert_eq!(given_up.messages[0].message.total_tokens(), 0);
}

#[test]
fn a_basic_apps_half_is_enough_once_the_other_is_lost() {
    let halves = [TRACE, GENERATION].map(|body| told(body).remove(0).part);
    for half in halves {
        let parts = [half];
        let early = joined(MESSAGE, &parts, false);
        assert!(early.messages.is_empty(), "{early:?}");
        assert_eq!(early.incomplete, [0]);
        let late = joined(MESSAGE, &parts, true);
        assert!(late.incomplete.is_empty(), "{late:?}");
        let message = &late.messages[0].message;
        assert_eq!(message.message_id, MESSAGE);
        assert_eq!(message.user_id.as_str(), "customer-4821");
        assert_eq!(message.calls[0].model_name, model("gpt-4o"));
        assert_eq!(message.calls[0].tokens, Tokens::new(1033, 128));
    }
}

#[test]
fn a_total_without_its_calls_is_not_lost() {
    let parts = [chatflow_trace(150)];
    for is_old in [false, true] {
        let joined = joined(MESSAGE, &parts, is_old);
        assert!(joined.messages.is_empty());
        assert_eq!(joined.incomplete, [0]);
    }
    let unused = joined(MESSAGE, &[chatflow_trace(0)], true);
    assert!(unused.messages.is_empty() && unused.incomplete.is_empty());
    // A total whose parts are all zero contradicts them.
    let zero = Part {
        total_tokens: Some(30),
        ..node("n1", 0, 0)
    };
    let message = &messages(MESSAGE, &[chatflow_trace(30), zero])[0];
    assert_eq!(message.reported_total, Some(30));
    assert!(message.is_contradictory());
}

#[test]
fn a_call_that_answered_for_nothing_is_not_hidden_by_others() {
    let spoke = |part| Part {
        has_answer: true,
        ..part
    };
    let counted = || spoke(node("n1", 100, 50));
    for (other, is_missing) in [
        (spoke(node("n2", 0, 0)), true),
        // It said nothing, or it counted.
        (node("n2", 0, 0), false),
        (spoke(node("n2", 10, 5)), false),
    ] {
        let parts = [chatflow_trace(150), counted(), other];
        let message = &messages(MESSAGE, &parts)[0];
        assert_eq!(message.is_missing_usage(), is_missing, "{message:?}");
    }
}

#[test]
fn a_bad_event_names_its_fault_and_spoils_no_other() {
    let body = json!({ "batch": [
        { "id": "1", "type": "generation-create", "body": { "id": "g", "traceId": "t", "usage": { "input": -1 } } },
        { "id": "2", "type": "generation-create", "body": { "id": "g", "usage": { "input": 1 } } },
        { "id": "3", "type": "trace-create" },
        { "id": "4" },
        7,
        { "id": "5", "type": "trace-create", "body": { "id": "t", "userId": "u" } },
    ] })
    .to_string();
    let events = parse_batch(body.as_bytes()).unwrap();
    let faults: Vec<_> = events
        .iter()
        .map(|event| (event.id.as_str(), event.part.clone().err()))
        .collect();
    let fault = |field: &str, fault| Some(Problem::field(field, fault));
    assert_eq!(
        faults,
        [
            ("1", fault("body.usage.input", FieldFault::NotACount)),
            ("2", fault("body.traceId", FieldFault::Missing)),
            ("3", fault("body", FieldFault::Missing)),
            ("4", fault("type", FieldFault::Missing)),
            ("", fault("type", FieldFault::Missing)),
            ("5", None),
        ]
    );
    assert_eq!(
        parse_batch(b"{}").unwrap_err(),
        Problem::field("batch", FieldFault::Missing)
    );
    assert!(matches!(
        parse_batch(b"{").unwrap_err(),
        Problem::InvalidJson { .. }
    ));
}

#[test]
fn a_later_event_is_laid_over_an_earlier_one() {
    let begun = event(
        "generation-create",
        &json!({ "id": "g", "traceId": "t", "name": "step", "model": "m" }),
    );
    let ended = event(
        "generation-update",
        &json!({ "id": "g", "usage": { "input": 1, "output": 2 }, "traceId": "t" }),
    );
    let (begun, ended) = (begun.unwrap().unwrap(), ended.unwrap().unwrap());
    assert_eq!(begun.part_id, ended.part_id);
    let mut whole = serde_json::to_value(&begun.part).unwrap();
    let over = serde_json::to_value(&ended.part).unwrap();
    whole
        .as_object_mut()
        .unwrap()
        .extend(over.as_object().unwrap().clone());
    let whole: Part = serde_json::from_value(whole).unwrap();
    assert_eq!(whole.call_id.as_deref(), Some("g"));
    assert_eq!(whole.model_name, Some(model("m")));
    assert_eq!(whole.tokens, Some(Tokens::new(1, 2)));
}
