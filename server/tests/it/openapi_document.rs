//! The OpenAPI document: its committed copy, and the server held against it by schemathesis.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::SAMPLE;
use crate::guard::guard;
use testkit::{World, event};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn the_committed_copy_is_what_the_server_says() {
    let world = World::new().await;
    let answer = world.request(Method::GET, "/openapi.json").send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let document = format!("{}\n", answer.text().await.expect("the document"));
    let path = root().join("docs/openapi.json");
    if std::env::var_os("TOLLGATE_RENEW_OPENAPI").is_some() {
        std::fs::write(&path, &document).expect("docs/openapi.json is written");
    }
    let copy = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        copy == document,
        "docs/openapi.json is not what the types say any more. Renew it: \
         TOLLGATE_RENEW_OPENAPI=1 cargo test -p server --test it openapi_document"
    );
}

/// Has schemathesis send what the document allows, and what it does not, and hold every answer
/// against it.
async fn hold_against_document(world: &World, key: &str, selection: [&str; 2]) {
    let program = root().join(".tools/schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "schemathesis is missing: run scripts/setup.sh test"
    );
    let output = Command::new(program)
        .current_dir(testkit::folder("schemathesis"))
        .args(["run", &world.url("/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(selection)
        .args(["--seed", "1", "--max-examples", "8", "--workers", "4"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--checks", CHECKS])
        .args([
            "--generation-database",
            "none",
            "--no-shrink",
            "--continue-on-failure",
        ])
        .args([
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
            "--no-color",
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("schemathesis");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
}

/// What an answer must be. That all is refused which the document does not allow is not asked for:
/// names are trimmed, and a batch with bad events is answered with what is wrong with each.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    allow_header_conformance,ignored_auth";

#[tokio::test]
async fn every_answer_is_one_that_the_document_knows() {
    let world = World::new().await;
    world.grant("user_789", "1000").await;
    world.deliver(SAMPLE).await.data();
    world.deliver(event("m1", "u1", "unpriced", 1, 1)).await;
    let hold = json!({ "modelName": "gpt-4", "userId": "user_789", "hold": true });
    let hold = world.post("/api/user/points/check-balance", &hold).await;
    assert_eq!(hold.data()["canProceed"], true);
    // The live feed does not end; Dify's guard has a key of its own.
    let others = ["--exclude-path-regex", "^/api/(admin/live|dify/guard)$"];
    hold_against_document(&world, &world.admin_key, others).await;
    let guard_key = guard(&world, |_| {}).await;
    let guard = ["--include-path", "/api/dify/guard"];
    hold_against_document(&world, &guard_key, guard).await;
    world.verify().await;
}
