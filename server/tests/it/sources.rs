//! `tollgate source`: what an operator types, and that what it prints opens what it should.

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::{World, answer, event};
use tokio::task::spawn_blocking;

use crate::command_line::{Terminal, error, output, stdout, tollgate};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Runs a command with something to read on its standard input.
async fn run_with_input(database_url: &str, line: &str, input: &'static str) -> Output {
    let mut command = tollgate(&words(line));
    command
        .env("DATABASE_URL", database_url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = spawn_blocking(move || {
        let mut child = command.spawn().expect("the program runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    });
    run.await.expect("no panic")
}

#[tokio::test]
async fn each_entrance_prints_exactly_what_to_enter() {
    let terminal = Terminal::new().await;
    let upstream = "--upstream http://127.0.0.1:9/v1 --upstream-key k";
    for (entrance, options, place, mark) in [
        ("webhook", "--require-signature", "HTTP node", "tg_wh_"),
        ("gateway", upstream, "client", "tg_gw_"),
        ("langfuse", "--model gpt-4o", "Langfuse", "tg_lf_"),
        ("guard", "--model gpt-4o", "API Extension", "tg_gd_"),
        ("openai", upstream, "OpenAI-API-compatible", "tg_oa_"),
    ] {
        let create = format!("source create --entrance {entrance} {options} --name my-{entrance}");
        let text = stdout(&terminal.run(&words(&create)).await);
        assert!(
            text.contains(place) && text.contains(mark) && text.contains("TOLLGATE_PUBLIC_URL"),
            "{text}"
        );

        let create = format!("{create}-2 --json --public-url https://tollgate.example");
        let made = terminal.json(&words(&create)).await;
        assert_eq!(made["entrance"], entrance);
        let key = made["key"].as_str().expect("a key");
        assert!(key.starts_with(mark), "{made}");
        let id = made["id"].as_str().expect("an id").replace('-', "");
        let secret = made["signingSecret"].as_str().expect("a secret");
        let entered = match entrance {
            "webhook" => serde_json::json!({
                "url": "https://tollgate.example/api/dify/webhook",
                "authorization": format!("Bearer {key}"),
                "signingSecret": secret,
            }),
            "gateway" => serde_json::json!({
                "baseUrl": "https://tollgate.example/v1",
                "apiKey": key,
            }),
            "langfuse" => serde_json::json!({
                "host": "https://tollgate.example/langfuse",
                "publicKey": format!("pk-lf-{id}"),
                "secretKey": key,
            }),
            "guard" => serde_json::json!({
                "apiEndpoint": "https://tollgate.example/api/dify/guard",
                "apiKey": key,
                "inputVariable": "billing_user",
            }),
            _ => serde_json::json!({
                "apiEndpointUrl": "https://tollgate.example/openai/v1",
                "apiKey": key,
            }),
        };
        assert_eq!(made["enter"], entered);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_would() {
    let terminal = Terminal::new().await;
    for (options, expected) in [
        ("webhook --fail-open", "it is for gateway, guard, openai"),
        ("webhook --model m", "it is for gateway, langfuse, guard"),
        (
            "langfuse --upstream http://127.0.0.1:9/v1",
            "it is for gateway, openai",
        ),
        ("guard --protect-only", "it is for gateway, openai"),
        (
            "gateway --require-signature --upstream http://127.0.0.1:9/v1",
            "it is for webhook",
        ),
        ("openai --user-variable u", "it is for guard"),
        ("gateway", "https://dify.example.com/v1"),
        ("openai", "https://api.openai.com/v1"),
        (
            "gateway --upstream http://127.0.0.1:9/v1",
            "set TOLLGATE_UPSTREAM_KEY",
        ),
    ] {
        let create = format!("source create --name s --entrance {options}");
        let text = error(&terminal.run(&words(&create)).await);
        assert!(text.contains(expected), "{options}: {text}");
    }
    for options in [
        "entrance",
        "gateway --upstream dify.example.com/v1",
        "gateway --upstream https://dify.example.com",
        "openai --upstream-key k --upstream-key-stdin",
        "guard --estimated-input -1",
    ] {
        let create = format!("source create --name s --entrance {options}");
        let refused = terminal.run(&words(&create)).await;
        assert_eq!(refused.status.code(), Some(2), "{options}");
    }
    assert_eq!(
        terminal.json(&["source", "list", "--json"]).await,
        Value::Array(Vec::new()),
        "nothing was created"
    );
    let text = stdout(&terminal.run(&["source", "list"]).await);
    assert!(text.contains("tollgate source create"), "{text}");
}

#[tokio::test]
async fn the_upstream_key_need_not_be_on_the_command_line() {
    let world = World::new().await;
    let terminal = Terminal {
        database_url: world.database_url.clone(),
    };
    let create = "source create --entrance gateway --upstream https://dify.example.com/v1/ --name";
    let mut command = tollgate(&words(&format!("{create} first")));
    command
        .env("DATABASE_URL", &terminal.database_url)
        .env("TOLLGATE_UPSTREAM_KEY", "app-1");
    stdout(&output(command).await);
    let second = format!("{create} second --upstream-key-stdin");
    stdout(&run_with_input(&terminal.database_url, &second, "app-2\n").await);
    let empty = format!("{create} third --upstream-key-stdin");
    error(&run_with_input(&terminal.database_url, &empty, "\n").await);
    let taken = format!("{create} second --upstream-key app-3");
    let text = error(&terminal.run(&words(&taken)).await);
    assert!(text.contains("name: is already taken"), "{text}");

    for (name, key) in [("first", "app-1"), ("second", "app-2")] {
        let source = world
            .ledger()
            .gateway_source(Some(name))
            .await
            .expect("a source");
        assert_eq!(source.upstream_key.as_deref(), Some(key));
        assert_eq!(
            source.settings.upstream_url.as_deref(),
            Some("https://dify.example.com/v1")
        );
    }
}

#[tokio::test]
async fn a_source_lives_until_it_is_revoked_and_changes_its_key() {
    let world = World::new().await;
    let terminal = Terminal {
        database_url: world.database_url.clone(),
    };
    let deliver = async |key: &Value, message: &str| {
        let request = world
            .request(Method::POST, "/api/dify/webhook")
            .bearer_auth(key.as_str().expect("a key"))
            .body(event(message, "u1", "gpt-4", 1000, 0));
        answer(request).await.status
    };
    let create = words("source create --name support --entrance webhook --json");
    let made = terminal.json(&create).await;
    let text = stdout(&terminal.run(&["source", "list"]).await);
    assert!(
        text.contains("support  webhook  tg_wh_") && text.contains("nothing delivered yet"),
        "{text}"
    );
    assert_eq!(deliver(&made["key"], "m1").await, StatusCode::OK);
    let text = stdout(&terminal.run(&["source", "list"]).await);
    assert!(
        text.contains("last delivery") && text.contains("charged"),
        "{text}"
    );

    let rotated = terminal.json(&words("source rotate support --json")).await;
    assert_eq!(rotated["id"], made["id"]);
    assert_eq!(deliver(&rotated["key"], "m2").await, StatusCode::OK);
    // The server hears from the terminal's process that a key has ended.
    let ended = async |key: &Value| {
        while deliver(key, "m2").await != StatusCode::UNAUTHORIZED {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    ended(&made["key"]).await;

    // Two of one name can only be told apart by their ids.
    let second = terminal.json(&create).await;
    let text = error(&terminal.run(&words("source revoke support")).await);
    assert!(text.contains("by its id"), "{text}");
    let id = second["id"].as_str().expect("an id");
    let text = stdout(&terminal.run(&["source", "revoke", id]).await);
    assert!(text.contains("was revoked"), "{text}");
    ended(&second["key"]).await;
    let again = error(&terminal.run(&["source", "rotate", id]).await);
    assert!(again.contains("is revoked"), "{again}");

    stdout(&terminal.run(&words("source revoke support")).await);
    ended(&rotated["key"]).await;
    let unknown = error(&terminal.run(&words("source revoke nobody")).await);
    assert!(unknown.contains("tollgate source list"), "{unknown}");
    let list = terminal.json(&words("source list --json")).await;
    assert!(list[1]["lastDelivery"]["outcome"].is_string());
    assert!(list[0]["revokedAt"].is_string() && list[1]["revokedAt"].is_string());
    world.verify().await;
}

#[tokio::test]
async fn sources_that_would_charge_twice_are_pointed_out() {
    let terminal = Terminal::new().await;
    let create =
        async |line: &str| stdout(&terminal.run(&words(&format!("source create {line}"))).await);
    let upstream = "--upstream http://127.0.0.1:9/v1 --upstream-key k";
    let trace = create("--name traces --entrance langfuse").await;
    assert!(!trace.contains("Beware"), "{trace}");
    let text = create(&format!("--name models --entrance openai {upstream}")).await;
    assert!(
        text.contains("Beware") && text.contains("“traces”"),
        "{text}"
    );
    for fine in [
        format!("--name checks --entrance openai --protect-only {upstream}"),
        format!("--name elsewhere --entrance openai --namespace other {upstream}"),
        "--name guard --entrance guard".to_owned(),
    ] {
        let text = create(&fine).await;
        assert!(!text.contains("Beware"), "{fine}: {text}");
    }
}
