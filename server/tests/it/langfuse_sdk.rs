//! The real Langfuse SDK, in both major versions that Dify uses, against the running server.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::World;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::langfuse::Traces;

const MAJOR_VERSIONS: [u8; 2] = [2, 4];

/// Makes the calls with the SDK; what it found out about its keys.
async fn report(major: u8, traces: &Traces<'_>, secret_key: &str, calls: &Value) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(format!(".tools/langfuse-{major}/bin/python"));
    assert!(
        python.exists(),
        "Langfuse's SDK {major} is missing: run scripts/setup.sh test"
    );
    let mut process = Command::new(python)
        .arg(root.join("end2end/langfuse/report.py"))
        .args([&traces.host(), &traces.public_key, secret_key])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python");
    let mut stdin = process.stdin.take().expect("a pipe");
    let calls = calls.to_string();
    // It does not read them when its keys are refused.
    drop(stdin.write_all(calls.as_bytes()).await);
    drop(stdin);
    let output = process.wait_with_output().await.expect("an end");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"))
}

/// A chatflow with two model nodes and an agent, and a message of a basic app, as Dify tells them.
fn calls() -> Value {
    let run = "fb47b2e6-5e43-4f90-be01-d5c5a088d156";
    let chatflow = "9da23599-e713-473b-982c-4328d4f5c78a";
    let basic = "0a1b2c3d-e713-473b-982c-4328d4f5c78a";
    let times =
        json!({ "start_time": "2026-07-23T05:00:00.100000", "end_time": "2026-07-23T05:00:02" });
    let with = |mut fields: Value| {
        let fields = fields.as_object_mut().expect("an object");
        fields.extend(times.as_object().expect("an object").clone());
        json!(fields)
    };
    let node = |id: &str, kind: &str| {
        json!({ "workflow_run_id": run, "node_execution_id": id, "node_type": kind, "app_id": "a",
            "tenant_id": "t", "status": "succeeded", "model_provider": "p", "model_name": "gpt-4o" })
    };
    let generation = |id: &str| {
        with(
            json!({ "id": id, "name": "LLM", "trace_id": chatflow, "parent_observation_id": run,
            "model": "gpt-4o", "input": [{ "role": "user", "content": "hi" }], "level": "DEFAULT",
            "output": { "text": "yo", "usage": { "prompt_tokens": 100 } }, "status_message": "",
            "metadata": node(id, "llm"),
            "usage": { "input": 100, "output": 50, "total": 150, "unit": "TOKENS" } }),
        )
    };
    let message = json!({ "message_id": basic, "conversation_id": "c", "ls_provider": "p", "ls_model_name": "gpt-4o",
        "from_account_id": null, "user_id": "ann", "status": "normal", "workflow_run_id": null });
    json!([
        ["trace", { "id": chatflow, "name": "message", "user_id": "bob", "session_id": "c", "input": { "sys.query": "hi" },
            "output": { "answer": "yo" }, "tags": ["message", "workflow"],
            "metadata": { "workflow_run_id": run, "conversation_id": "c", "total_tokens": 310, "app_id": "a", "user_id": "bob" } }],
        ["span", with(json!({ "id": run, "name": "workflow", "trace_id": chatflow, "input": {}, "output": {},
            "metadata": { "workflow_run_id": run }, "level": "DEFAULT", "status_message": "" }))],
        ["span", with(json!({ "id": "start", "name": "Start", "trace_id": chatflow, "input": {}, "output": {},
            "metadata": node("start", "start"), "parent_observation_id": run }))],
        ["generation", generation("d71ec4c3-07b5-4deb-81c1-4e626c1f0001")],
        ["generation", generation("d71ec4c3-07b5-4deb-81c1-4e626c1f0002")],
        ["span", with(json!({ "id": "agent", "name": "Agent", "trace_id": chatflow, "parent_observation_id": run,
            "input": { "model": { "model": "gpt-4o", "provider": "p" } },
            "output": { "text": "yo", "usage": { "prompt_tokens": 10, "completion_tokens": 0 } },
            "metadata": node("agent", "agent") }))],
        ["trace", { "id": basic, "name": "message", "user_id": "ann", "session_id": "c",
            "input": { "message": "hi", "message_tokens": 1033, "answer_tokens": 128, "total_tokens": 1161 },
            "output": "yo", "tags": ["message", "chat"], "metadata": message }],
        ["generation", with(json!({ "id": uuid::Uuid::now_v7(), "name": "llm", "trace_id": basic, "model": "gpt-4o",
            "input": "hi", "output": "yo", "metadata": message, "level": "DEFAULT", "status_message": "",
            "usage": { "input": 1033, "output": 128, "total": 1161, "unit": "TOKENS" } }))],
        ["generation", with(json!({ "id": uuid::Uuid::now_v7(), "name": "suggested_question", "trace_id": basic,
            "input": "hi", "output": "['more?']", "metadata": message,
            "usage": { "input": 2, "output": 8, "total": 9, "unit": "CHARACTERS" } }))],
    ])
}

#[tokio::test]
async fn each_sdk_is_let_in_and_what_it_reports_is_charged_once() {
    for major in MAJOR_VERSIONS {
        let world = World::new().await;
        let traces = Traces::new(&world).await;
        let refused = report(major, &traces, "tg_lf_wrong", &json!([])).await;
        assert_eq!(refused["authorized"], false, "{major}: {refused}");
        let told = report(major, &traces, &traces.secret_key, &calls()).await;
        assert_eq!(told["authorized"], true, "{major}: {told}");
        let sources = world.ledger().sources().await.expect("sources");
        assert_eq!(told["project"], json!(sources[0].id));
        traces.outcomes(2).await;
        // 210 × 0.01 + 100 × 0.02
        assert_eq!(world.balance("bob").await, "-4.1", "{major}");
        assert_eq!(world.balance("ann").await, "-12.89", "{major}");
        // A worker that was restarted reports everything again.
        report(major, &traces, &traces.secret_key, &calls()).await;
        let later = traces.outcomes(3).await;
        assert_eq!(
            later[2].0,
            shared::api::Outcome::Duplicate,
            "the generation of a basic app has another id each time"
        );
        assert_eq!(world.balance("bob").await, "-4.1", "{major}");
        assert_eq!(world.balance("ann").await, "-12.89", "{major}");
        world.verify().await;
    }
}
