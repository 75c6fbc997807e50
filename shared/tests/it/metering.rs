//! What is read from an answer of Dify's.

use serde_json::{Value, json};
use shared::formats::dify_stream::{CallContext, Meter, Pause};
use shared::tokens::Tokens;
use shared::usage::Evidence;
use shared::usage::{MessageUsage, TextAmount};

use crate::test;
use crate::values::{at, model};

const STREAM_1_12: &str = include_str!("../fixtures/chatflow_stream_1_12.sse");
const STREAM_1_16: &str = include_str!("../fixtures/chatflow_stream_1_16.sse");
const STREAM_FAILED: &str = include_str!("../fixtures/chatflow_stream_failed.sse");
const BLOCKING_CHAT: &str = include_str!("../fixtures/blocking_chat_response.json");
const BLOCKING_WORKFLOW: &str = include_str!("../fixtures/blocking_workflow_response.json");
const MESSAGE_END: &str = include_str!("../fixtures/sse_message_end.json");
const NODE_FINISHED: &str = include_str!("../fixtures/sse_node_finished.json");
const WORKFLOW_FINISHED: &str = include_str!("../fixtures/sse_workflow_finished.json");
const AGENT_THOUGHT: &str = include_str!("../fixtures/sse_agent_thought.json");
const ERROR: &str = include_str!("../fixtures/sse_error.json");

const MESSAGE_ID: &str = "9da23599-e713-473b-982c-4328d4f5c78a";
const RUN_ID: &str = "fb47b2e6-5e43-4f90-be01-d5c5a088d156";
const NODE_ID: &str = "5f1d0c5e-2d5b-4c57-9d0e-0c3f6a1b2c3d";

fn context() -> CallContext {
    let mut text = TextAmount::default();
    text.add("Hello, you!!");
    CallContext {
        user_id: "customer-4821".parse().unwrap(),
        assumed_model: Some(model("gpt-4")),
        text,
        usual_input_tokens: 0,
        is_continuation: false,
    }
}

fn of_stream(stream: &str) -> Option<MessageUsage> {
    let mut meter = Meter::stream();
    meter.read(stream.as_bytes());
    meter.report(&context())
}

fn of_answer(answer: &Value) -> Option<MessageUsage> {
    let mut meter = Meter::answer();
    meter.read(answer.to_string().as_bytes());
    meter.report(&context())
}

/// Events as Dify writes them.
fn stream(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: ping\n\ndata: {event}\n\n"))
        .collect()
}

fn of_events(events: &[Value]) -> MessageUsage {
    of_stream(&stream(events)).expect("a message")
}

fn event(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// An event with some of its values replaced, by JSON pointer.
fn with(text: &str, changes: &[(&str, Value)]) -> Value {
    let mut event = event(text);
    for (path, value) in changes {
        *event.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value.clone();
    }
    event
}

fn said(text: &str) -> Value {
    json!({
        "event": "message", "message_id": MESSAGE_ID, "conversation_id": "c", "answer": text,
        "from_variable_selector": ["llm-node", "text"],
    })
}

/// Model, input and output tokens of each call.
fn calls(usage: &MessageUsage) -> Vec<(&str, u64, u64)> {
    usage
        .calls
        .iter()
        .map(|call| {
            let Tokens { input, output, .. } = call.tokens;
            (call.model_name.as_str(), input, output)
        })
        .collect()
}

#[test]
fn nodes_tell_model_and_tokens_in_either_order_of_events() {
    for stream in [STREAM_1_12, STREAM_1_16] {
        let usage = of_stream(stream).unwrap();
        assert_eq!(usage.message_id, MESSAGE_ID);
        assert_eq!(usage.also_known_as, [RUN_ID]);
        assert_eq!(
            usage.conversation_id.as_deref(),
            Some("45701982-8118-4bc5-8e9b-64562b4555f2")
        );
        assert_eq!(usage.occurred_at, Some(at("2024-01-16T12:20:29Z")));
        assert_eq!(calls(&usage), [("gpt-4o", 100, 50)]);
        assert_eq!(usage.calls[0].call_id.as_deref(), Some(NODE_ID));
        assert_eq!(usage.evidence, Evidence::Measured);
        assert!(usage.is_itemized() && usage.has_answer);
    }
}

#[test]
fn a_failed_chatflow_without_message_end_is_known_by_its_nodes() {
    let usage = of_stream(STREAM_FAILED).unwrap();
    assert_eq!(usage.message_id, MESSAGE_ID);
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50)]);
    assert_eq!(usage.evidence, Evidence::Measured);
}

#[test]
fn a_basic_app_is_charged_by_message_end_with_the_model_of_the_source() {
    let usage = of_events(&[said("Bonjour"), event(MESSAGE_END)]);
    assert_eq!(calls(&usage), [("gpt-4", 1033, 128)]);
    assert_eq!(usage.evidence, Evidence::ModelAssumed);
    assert!(!usage.is_itemized());
}

#[test]
fn without_a_model_in_its_settings_the_model_is_unknown() {
    let mut meter = Meter::stream();
    meter.read(stream(&[event(MESSAGE_END)]).as_bytes());
    let context = CallContext {
        assumed_model: None,
        ..context()
    };
    let usage = meter.report(&context).unwrap();
    assert_eq!(calls(&usage), [("unknown", 1033, 128)]);
}

#[test]
fn an_agent_tells_its_sum_once() {
    let thought = with(AGENT_THOUGHT, &[("/message_id", json!(MESSAGE_ID))]);
    let usage = of_events(&[
        thought.clone(),
        json!({ "event": "agent_message", "message_id": MESSAGE_ID, "answer": "21 °C" }),
        thought,
        event(MESSAGE_END),
    ]);
    assert_eq!(calls(&usage), [("gpt-4", 1033, 128)]);
}

#[test]
fn a_workflow_is_known_by_its_run() {
    let usage = of_events(&[event(NODE_FINISHED), event(WORKFLOW_FINISHED)]);
    assert_eq!(usage.message_id, RUN_ID);
    assert!(usage.also_known_as.is_empty());
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50)]);
}

#[test]
fn containers_are_never_added_to_what_is_in_them() {
    let container = |kind: &str, id: &str| {
        with(
            NODE_FINISHED,
            &[("/data/node_type", json!(kind)), ("/data/id", json!(id))],
        )
    };
    let second = with(NODE_FINISHED, &[("/data/id", json!("second"))]);
    let total = json!({
        "event": "iteration_completed", "workflow_run_id": RUN_ID,
        "data": { "id": "i", "node_type": "iteration", "execution_metadata": { "total_tokens": 300 } },
    });
    let usage = of_events(&[
        event(NODE_FINISHED),
        second,
        container("iteration", "i"),
        container("loop", "l"),
        total,
        with(WORKFLOW_FINISHED, &[("/data/total_tokens", json!(300))]),
    ]);
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50), ("gpt-4o", 100, 50)]);
}

#[test]
fn a_node_that_is_told_twice_counts_once() {
    let usage = of_events(&[event(NODE_FINISHED), event(NODE_FINISHED)]);
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50)]);
}

#[test]
fn other_nodes_that_run_models_are_leaves_too() {
    let node = |kind: &str, data: Value| {
        let mut data = data;
        data["id"] = json!(kind);
        data["node_id"] = json!(kind);
        data["node_type"] = json!(kind);
        json!({ "event": "node_finished", "workflow_run_id": RUN_ID, "data": data })
    };
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 3, "latency": 0.5 });
    let classified = json!({
        "process_data": { "usage": usage, "model_name": "small" }, "outputs": { "usage": usage },
    });
    let cases = [
        (
            "question-classifier",
            classified.clone(),
            ("small", 7, 3),
            Evidence::Measured,
        ),
        (
            "parameter-extractor",
            classified,
            ("small", 7, 3),
            Evidence::Measured,
        ),
        (
            "knowledge-retrieval",
            json!({ "process_data": { "usage": usage } }),
            ("gpt-4", 7, 3),
            Evidence::ModelAssumed,
        ),
        (
            "agent",
            json!({ "outputs": { "usage": usage } }),
            ("gpt-4", 7, 3),
            Evidence::ModelAssumed,
        ),
        (
            "tool",
            json!({ "execution_metadata": { "total_tokens": 42 } }),
            ("gpt-4", 42, 0),
            Evidence::Summed,
        ),
    ];
    for (kind, data, call, evidence) in cases {
        let usage = of_events(&[node(kind, data)]);
        assert_eq!(calls(&usage), [call], "{kind}");
        assert_eq!(usage.evidence, evidence, "{kind}");
        assert_eq!(usage.calls[0].call_id.as_deref(), Some(kind));
    }
    // What an author puts into the outputs of a code node is no report of ours.
    let code = node("code", json!({ "outputs": { "usage": usage } }));
    let usage = of_events(&[event(NODE_FINISHED), code]);
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50)]);
}

#[test]
fn a_blocking_chat_tells_its_usage() {
    let usage = of_answer(&event(BLOCKING_CHAT)).unwrap();
    assert_eq!(usage.message_id, MESSAGE_ID);
    assert_eq!(calls(&usage), [("gpt-4", 1033, 128)]);
    assert_eq!(usage.evidence, Evidence::ModelAssumed);
}

#[test]
fn a_blocking_workflow_tells_a_total_only() {
    let usage = of_answer(&event(BLOCKING_WORKFLOW)).unwrap();
    assert_eq!(usage.message_id, RUN_ID);
    assert_eq!(calls(&usage), [("gpt-4", 150, 0)]);
    assert_eq!(usage.evidence, Evidence::Summed);
}

#[test]
fn an_answer_without_a_model_costs_nothing() {
    // Dify's empty usage, as moderation and annotations leave it; zeros in every notation.
    for zero in [
        json!(0),
        json!("0"),
        json!("0E-7"),
        json!("0.0"),
        json!(null),
    ] {
        let end = with(
            MESSAGE_END,
            &[
                ("/metadata/usage/prompt_tokens", json!(0)),
                ("/metadata/usage/completion_tokens", json!(0)),
                ("/metadata/usage/total_tokens", json!(0)),
                ("/metadata/usage/prompt_unit_price", zero.clone()),
                ("/metadata/usage/completion_unit_price", zero.clone()),
                ("/metadata/usage/latency", json!(0.0)),
            ],
        );
        let usage = of_events(&[said("I may not answer that."), end]);
        assert_eq!(calls(&usage), [], "{zero}");
        assert_eq!(usage.evidence, Evidence::Measured);
        assert!(!usage.is_missing_usage());
    }
    let annotated = with(
        MESSAGE_END,
        &[
            ("/metadata/annotation_reply", json!({ "id": "a" })),
            ("/metadata/usage/prompt_tokens", json!(0)),
            ("/metadata/usage/completion_tokens", json!(0)),
        ],
    );
    assert_eq!(calls(&of_events(&[said("As annotated."), annotated])), []);
}

#[test]
fn a_stopped_basic_app_that_tells_zero_is_estimated_from_its_text() {
    let stopped = with(
        MESSAGE_END,
        &[
            ("/metadata/usage/prompt_tokens", json!(0)),
            ("/metadata/usage/completion_tokens", json!(0)),
            ("/metadata/usage/total_tokens", json!(0)),
        ],
    );
    // Ten ASCII characters are three tokens, two others are two.
    let usage = of_events(&[said("0123456789"), said("你好"), stopped]);
    assert_eq!(calls(&usage), [("gpt-4", 3, 5)]);
    assert_eq!(usage.evidence, Evidence::Estimated);
}

#[test]
fn a_stopped_chatflow_pays_for_the_node_that_was_speaking() {
    let started = json!({
        "event": "node_started", "workflow_run_id": RUN_ID,
        "data": { "id": "running", "node_id": "llm-node", "node_type": "llm", "inputs": null },
    });
    let end = with(WORKFLOW_FINISHED, &[("/data/status", json!("stopped"))]);
    let usage = of_events(&[event(NODE_FINISHED), started, said("0123456789"), end]);
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50), ("gpt-4", 3, 3)]);
    assert_eq!(usage.calls[1].call_id.as_deref(), Some("running"));
    assert_eq!(usage.evidence, Evidence::Estimated);
}

#[test]
fn an_estimate_contains_what_usually_goes_in() {
    let usual = |tokens, events: &[Value]| {
        let mut meter = Meter::stream();
        meter.read(stream(events).as_bytes());
        let context = CallContext {
            usual_input_tokens: tokens,
            ..context()
        };
        meter.report(&context).unwrap()
    };
    let spoke = [said("0123456789")];
    assert_eq!(calls(&usual(250, &spoke)), [("gpt-4", 250, 3)]);
    assert_eq!(
        calls(&usual(2, &spoke)),
        [("gpt-4", 3, 3)],
        "what was asked"
    );
    // A node that still speaks is one call, whatever others tell.
    let started = json!({
        "event": "node_started", "workflow_run_id": RUN_ID,
        "data": { "id": "running", "node_id": "llm-node", "node_type": "llm", "inputs": null },
    });
    let events = [event(NODE_FINISHED), started, said("0123456789")];
    let estimated = usual(250, &events);
    assert_eq!(calls(&estimated), [("gpt-4o", 100, 50), ("gpt-4", 250, 3)]);
    // What is told needs no estimate.
    let told = usual(250, &[event(NODE_FINISHED)]);
    assert_eq!(calls(&told), [("gpt-4o", 100, 50)]);
}

#[test]
fn a_continuation_guesses_nothing_of_what_still_runs() {
    let started = json!({
        "event": "node_started", "workflow_run_id": RUN_ID,
        "data": { "id": "running", "node_id": "llm-node", "node_type": "llm", "inputs": null },
    });
    let mut meter = Meter::stream();
    meter.read(stream(&[event(NODE_FINISHED), started, said("0123456789")]).as_bytes());
    let usage = meter.finish();
    let message = usage.report(&CallContext {
        is_continuation: true,
        ..context()
    });
    let message = message.unwrap();
    assert_eq!(calls(&message), [("gpt-4o", 100, 50)]);
    assert_eq!(message.evidence, Evidence::Measured);
    assert_eq!(usage.pause(), None);
    assert_eq!(usage.rest().expect("a run").run_id, RUN_ID);
}

#[test]
fn a_model_that_does_not_count_is_estimated_by_its_prompts_and_its_text() {
    let node = with(
        NODE_FINISHED,
        &[
            ("/data/process_data/usage/prompt_tokens", json!(0)),
            ("/data/process_data/usage/completion_tokens", json!(0)),
            ("/data/outputs/usage", json!(null)),
            ("/data/execution_metadata", json!(null)),
            ("/data/process_data/prompts/0/text", json!("12345678")),
        ],
    );
    let usage = of_events(&[node]);
    assert_eq!(calls(&usage), [("gpt-4o", 2, 2)]);
    assert_eq!(usage.evidence, Evidence::Estimated);
}

#[test]
fn what_broke_off_is_estimated_by_what_was_said() {
    let usage = of_events(&[said("0123456789")]);
    assert_eq!(calls(&usage), [("gpt-4", 3, 3)]);
    assert_eq!(usage.evidence, Evidence::Estimated);
    // And what says nothing of itself is nothing.
    assert_eq!(of_stream("event: ping\n\n"), None);
    assert_eq!(of_stream(""), None);
}

#[test]
fn an_error_before_anything_was_used_costs_nothing() {
    let usage = of_events(&[event(ERROR)]);
    assert_eq!(usage.message_id, "m");
    assert_eq!(calls(&usage), []);
    assert_eq!(usage.evidence, Evidence::Estimated);
    let refused = json!({ "code": "invalid_param", "message": "no", "status": 400 });
    assert_eq!(of_answer(&refused), None);
}

#[test]
fn a_paused_run_goes_on_with_totals_of_the_whole() {
    let paused = json!({
        "event": "workflow_paused", "workflow_run_id": RUN_ID,
        "data": { "status": "paused", "total_tokens": 40 },
    });
    let before = of_events(&[said("So far"), paused]);
    assert_eq!(calls(&before), [("gpt-4", 40, 0)]);

    let continuation = |events: &[Value]| {
        let mut meter = Meter::stream();
        meter.read(stream(events).as_bytes());
        let context = CallContext {
            is_continuation: true,
            ..context()
        };
        meter.report(&context)
    };
    let after = continuation(&[said("and on"), event(WORKFLOW_FINISHED)]).unwrap();
    assert_eq!(calls(&after), [("gpt-4", 150, 0)]);
    // Its text alone is not that of the whole message.
    assert_eq!(continuation(&[said("and on")]), None);
}

#[test]
fn unknown_events_and_other_lines_are_passed_over() {
    let odd = format!(
        ": a \"comment\n\nretry: 10\n\nid: 1\n\ndata: not JSON\n\ndata: []\n\ndata:\n\n{}{}",
        stream(&[json!({ "event": "from_the_future", "data": { "total_tokens": 9 } })]),
        STREAM_1_16.replace('\n', "\r\n"),
    );
    assert_eq!(of_stream(&odd), of_stream(STREAM_1_16));
}

#[test]
fn data_on_several_lines_is_one_event() {
    let folded = STREAM_1_16.replace(", \"answer\"", ",\ndata: \"answer\"");
    assert_ne!(folded, STREAM_1_16);
    assert_eq!(of_stream(&folded), of_stream(STREAM_1_16));
}

#[test]
fn the_last_event_counts_without_the_line_that_ends_it() {
    let stream = STREAM_1_16.trim_end();
    assert_eq!(of_stream(stream), of_stream(STREAM_1_16));
}

#[test]
fn a_file_in_an_event_does_not_hide_what_the_event_says() {
    let file = "\\\"A".repeat(2_000_000);
    let with_file = STREAM_1_16.replace("\"Bonjour\"", &format!("\"{file}\""));
    assert!(with_file.len() > 6_000_000);
    assert_eq!(of_stream(&with_file), of_stream(STREAM_1_16));
    // Nor do many texts, each of them short enough.
    let list = json!(vec![json!({ "]}": "\"]}".repeat(20_000) }); 100]);
    let huge = with(NODE_FINISHED, &[("/data/outputs", list.clone())]);
    let usage = of_events(&[huge, event(WORKFLOW_FINISHED)]);
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50)]);
    let prompts = with(NODE_FINISHED, &[("/data/process_data/prompts", list)]);
    let usage = of_events(&[prompts, event(WORKFLOW_FINISHED)]);
    assert_eq!(calls(&usage), [("gpt-4o", 100, 50)]);
}

#[test]
fn what_is_large_in_a_blocking_answer_does_not_hide_what_it_says() {
    let list = json!(vec![json!([{ "text": "[\"{".repeat(20_000) }]); 100]);
    let run = with(
        BLOCKING_WORKFLOW,
        &[("/data/outputs", json!({ "result": list }))],
    );
    let small = of_answer(&event(BLOCKING_WORKFLOW)).unwrap();
    assert_eq!(of_answer(&run), Some(small));
    let chat = with(BLOCKING_CHAT, &[("/metadata/retriever_resources", list)]);
    let small = of_answer(&event(BLOCKING_CHAT)).unwrap();
    assert_eq!(of_answer(&chat), Some(small));
}

#[test]
fn an_answer_that_cannot_be_read_is_told_from_one_that_says_nothing() {
    let read = |answer: &Value| {
        let mut meter = Meter::answer();
        meter.read(answer.to_string().as_bytes());
        meter.finish()
    };
    let mut huge = json!({ "a_message_id": MESSAGE_ID });
    for part in 0..30 {
        huge[format!("part {part}")] = json!("x".repeat(200_000));
    }
    let usage = read(&huge);
    assert_eq!(usage.report(&context()), None);
    let start = usage.start_of_unread().expect("unread");
    assert!(start.len() <= 4096 && start.starts_with(b"{\"a_message_id\":\"9da23599"));
    let usage = read(&json!({ "result": "success" }));
    assert_eq!(
        (usage.report(&context()), usage.start_of_unread()),
        (None, None)
    );
}

#[test]
fn a_run_that_waits_for_a_person_is_told_with_its_forms() {
    let end = |events: &[Value]| {
        let mut meter = Meter::stream();
        meter.read(stream(events).as_bytes());
        let is_over = meter.is_over();
        (is_over, meter.finish())
    };
    let required = json!({
        "event": "human_input_required", "workflow_run_id": RUN_ID,
        "data": { "form_id": "f", "form_token": "token-1" },
    });
    let paused = json!({
        "event": "workflow_paused",
        "data": {
            "workflow_run_id": RUN_ID, "total_tokens": 40,
            "reasons": [{ "form_token": "token-1" }, { "form_token": "token-2" }, {}],
        },
    });
    let pause = |tokens: &[&str]| {
        let form_tokens = tokens.iter().map(|&token| token.to_owned()).collect();
        let run_id = RUN_ID.to_owned();
        Some(Pause {
            message_id: run_id.clone(),
            run_id,
            form_tokens,
        })
    };
    // What else runs at the same time may still have something to say.
    let (is_over, usage) = end(std::slice::from_ref(&required));
    assert_eq!((is_over, usage.pause()), (false, pause(&["token-1"])));
    let (is_over, usage) = end(&[required.clone(), paused.clone()]);
    assert_eq!(
        (is_over, usage.pause()),
        (true, pause(&["token-1", "token-2"]))
    );
    assert_eq!(usage.ended_run(), None);
    let (is_over, usage) = end(&[required, paused, event(WORKFLOW_FINISHED)]);
    assert_eq!((is_over, usage.pause()), (true, None));
    assert_eq!(usage.ended_run(), Some(RUN_ID));
    let total = usage.total(&context()).expect("a total");
    assert_eq!(calls(&total), [("gpt-4", 150, 0)]);

    let blocking = with(BLOCKING_WORKFLOW, &[("/data/status", json!("paused"))]);
    let mut meter = Meter::answer();
    meter.read(blocking.to_string().as_bytes());
    assert_eq!(meter.finish().pause(), pause(&[]));
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Option<MessageUsage> {
        let mut meter = Meter::stream();
        for piece in pieces {
            meter.read(piece.as_ref());
        }
        meter.report(&context())
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_stream_is_cut_into_pieces(
            which in 0_usize..3,
            end in 0_usize..5000,
            cuts in prop::collection::vec(0_usize..5000, 0..40),
        ) {
            let bytes = [STREAM_1_12, STREAM_1_16, STREAM_FAILED][which].as_bytes();
            let bytes = &bytes[..end.min(bytes.len())];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            let whole = read([bytes]);
            prop_assert_eq!(&read(pieces), &whole);
            prop_assert_eq!(&read(bytes.chunks(1)), &whole);
        }
    }
}
