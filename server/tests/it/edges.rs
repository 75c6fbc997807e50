//! What holds for every address.

use reqwest::Method;

use crate::world::{SAMPLE, World, answer};

#[tokio::test]
async fn the_server_says_whether_it_lives_and_is_ready() {
    let world = World::new().await;
    for path in ["/healthz", "/readyz"] {
        let answer = answer(world.request(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_answered_in_json() {
    let world = World::new().await;
    for path in ["/api", "/api/", "/api/nothing", "/api/fn/nothing"] {
        let answer = answer(world.request(Method::GET, path)).await;
        assert_eq!(answer.refusal(), (404, "not_found", None), "{path}");
    }
    let answer = answer(world.request(Method::DELETE, "/api/dify/webhook")).await;
    assert_eq!(answer.refusal(), (405, "method_not_allowed", None));
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn a_page_that_does_not_exist_is_a_page() {
    let world = World::new().await;
    let answer = answer(world.request(Method::GET, "/nothing/here")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn refusals_speak_the_callers_language() {
    let world = World::new().await;
    let message = async |language: &str| {
        let request = world
            .request(Method::POST, "/api/dify/webhook")
            .header("accept-language", language);
        let answer = answer(request.body(SAMPLE)).await;
        assert_eq!(answer.refusal(), (401, "missing_key", None));
        answer.body["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    };
    assert!(message("en-GB").await.starts_with("Send an API key"));
    assert!(
        message("zh-CN,zh;q=0.9,en;q=0.8")
            .await
            .starts_with("请通过")
    );
    assert!(message("fr").await.starts_with("Send an API key"));
}

#[tokio::test]
async fn every_answer_carries_what_keeps_browsers_safe() {
    let world = World::new().await;
    for path in ["/", "/sign-in", "/api/nothing", "/healthz"] {
        let answer = answer(world.request(Method::GET, path)).await;
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.headers[name], expected, "{path}");
        }
        let policy = answer.headers["content-security-policy"]
            .to_str()
            .expect("text");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("'unsafe-inline';") || policy.contains("style-src-attr"));
        assert!(answer.headers.contains_key("x-request-id"), "{path}");
        assert!(answer.headers.contains_key("cache-control"), "{path}");
    }
}

#[tokio::test]
async fn a_page_runs_only_the_scripts_it_was_sent_with() {
    let world = World::new().await;
    let answer = answer(world.request(Method::GET, "/sign-in")).await;
    let policy = answer.headers["content-security-policy"]
        .to_str()
        .expect("text");
    let html = answer.body.as_str().expect("a page");
    let nonce = policy
        .split_once("'nonce-")
        .and_then(|(_, rest)| rest.split_once('\''))
        .expect("a nonce")
        .0;
    let scripts = html.split("<script").skip(1);
    for script in scripts {
        let tag = script.split('>').next().expect("a tag");
        assert!(
            tag.contains(&format!("nonce=\"{nonce}\"")) || tag.contains("src="),
            "{tag}"
        );
    }
}
