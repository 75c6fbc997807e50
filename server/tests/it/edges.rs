//! What holds for every address.

use std::fs;

use reqwest::Method;
use testkit::{World, answer, folder};

use crate::SAMPLE;

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

#[tokio::test]
async fn files_of_the_site_are_sent_compressed_and_asked_for_again() {
    let site = folder("site");
    fs::create_dir(site.join("pkg")).expect("a folder");
    fs::write(site.join("pkg/tollgate.js"), "plain").expect("a file");
    fs::write(site.join("pkg/tollgate.js.br"), "brotli").expect("a file");
    fs::write(site.join("pkg/tollgate.js.gz"), "gzip").expect("a file");
    let world = World::with(|config| config.site_root = Some(site.clone())).await;
    for (accepted, expected, encoding) in [
        ("", "plain", None),
        ("gzip", "gzip", Some("gzip")),
        ("gzip, deflate, br", "brotli", Some("br")),
    ] {
        let request = world.request(Method::GET, "/pkg/tollgate.js");
        let file = answer(request.header("accept-encoding", accepted)).await;
        assert_eq!(file.status, 200);
        assert_eq!(file.body, expected, "{accepted}");
        let header = |name: &str| file.headers.get(name).map(|it| it.to_str().expect("text"));
        assert_eq!(header("content-encoding"), encoding, "{accepted}");
        assert_eq!(header("cache-control"), Some("no-cache"));
        assert_eq!(header("content-type"), Some("text/javascript"));
    }
    let file = answer(world.request(Method::GET, "/pkg/tollgate.js")).await;
    let again = world
        .request(Method::GET, "/pkg/tollgate.js")
        .header("if-modified-since", &file.headers["last-modified"]);
    assert_eq!(answer(again).await.status, 304);
    let outside = answer(world.request(Method::GET, "/pkg/%2e%2e/%2e%2e/secret.key")).await;
    assert_eq!(outside.status, 404);
    fs::remove_dir_all(site).expect("removed");
}

#[tokio::test]
async fn behind_tls_cookies_and_links_are_for_tls() {
    let public = "https://tollgate.example";
    let world = World::with(|config| config.public_url = Some(public.to_owned())).await;
    let minted = world
        .post("/api/user/tokens", &serde_json::json!({ "userId": "u1" }))
        .await;
    let link = minted.data()["signInUrl"].as_str().expect("a link");
    let path = link.strip_prefix(public).expect("the public address");
    let opened = answer(world.request(Method::GET, path)).await;
    let cookie = opened.headers["set-cookie"].to_str().expect("a cookie");
    assert!(cookie.contains("Secure"), "{cookie}");
}
