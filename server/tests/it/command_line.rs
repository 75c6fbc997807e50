//! `tollgate <command>`, as a program of its own.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::world::{SAMPLE, World, database_url, folder};

/// The program that these tests were built with, or the one they are told to test.
pub fn tollgate(arguments: &[&str]) -> Command {
    let program = std::env::var_os("TOLLGATE_PROGRAM");
    let built = env!("CARGO_BIN_EXE_tollgate");
    let mut command = Command::new(program.unwrap_or_else(|| built.into()));
    command
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env("TOLLGATE_SECRET_KEY", "07".repeat(32));
    command
}

/// Runs a command to its end, without holding up the server of the same test.
async fn output(mut command: Command) -> Output {
    let run = spawn_blocking(move || command.stdin(Stdio::null()).output());
    run.await.expect("no panic").expect("the program runs")
}

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "one clear line: {text}");
    text
}

/// Runs commands on one database.
struct Terminal {
    database_url: String,
}

impl Terminal {
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tollgate(arguments);
        command.env("DATABASE_URL", &self.database_url);
        output(command).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let text = stdout(&self.run(arguments).await);
        serde_json::from_str(&text).expect("JSON")
    }
}

#[tokio::test]
async fn commands_work_without_a_server() {
    let terminal = Terminal {
        database_url: database_url().await,
    };
    stdout(&terminal.run(&["migrate"]).await);

    let key = [
        "key", "create", "--name", "dify", "--scope", "webhook", "--json",
    ];
    let key = terminal.json(&key).await;
    assert!(key["id"].is_string() && key["key"].is_string());
    let secret = key["signingSecret"].as_str().expect("a secret");
    assert!(secret.starts_with("whsec_"));

    let price = [
        "price", "set", "--model", "GPT-4", "--input", "30", "--output", "60",
    ];
    let text = stdout(&terminal.run(&price).await);
    assert!(
        text.contains("Version 1") && text.contains("GPT-4"),
        "{text}"
    );

    let add = |points| {
        [
            "points", "add", "--user", "u1", "--points", points, "--reason", "gift",
        ]
    };
    stdout(&terminal.run(&add("10.5")).await);
    let text = stdout(&terminal.run(&add("-0.25")).await);
    assert!(text.contains("10.25"), "{text}");
    let balance = ["balance", "--user", "u1", "--json"];
    assert_eq!(
        stdout(&terminal.run(&balance).await).trim(),
        r#"{"userId":"u1","balance":10.25,"held":0,"available":10.25}"#
    );
    let verified = terminal.json(&["verify", "--json"]).await;
    assert_eq!(verified["ok"], true);
    stdout(&terminal.run(&["verify", "--account", "u1"]).await);

    let text = stdout(&terminal.run(&["admin", "create", "--name", "root"]).await);
    assert!(text.contains("root") && text.contains("/sign-in"), "{text}");
    let again = terminal.run(&["admin", "create", "--name", "root"]).await;
    assert!(error(&again).contains("name"));
    let link = stdout(&terminal.run(&["user", "link", "--user", "u1"]).await);
    assert!(
        link.starts_with("http://127.0.0.1:3000/enter?token="),
        "{link}"
    );
}

#[tokio::test]
async fn a_password_can_come_from_standard_input() {
    let database_url = database_url().await;
    let create = |password: &'static str| {
        let mut command = tollgate(&["admin", "create", "--password-stdin"]);
        command
            .env("DATABASE_URL", &database_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        spawn_blocking(move || {
            let mut child = command.spawn().expect("the program runs");
            let mut stdin = child.stdin.take().expect("a pipe");
            writeln!(stdin, "{password}").expect("written");
            drop(stdin);
            child.wait_with_output().expect("an end")
        })
    };
    let short = create("short").await.expect("no panic");
    assert!(error(&short).contains("12"), "{short:?}");
    let text = stdout(&create("a long enough one").await.expect("no panic"));
    assert!(!text.contains("a long enough one"), "it is not shown");
}

#[tokio::test]
async fn commands_work_beside_a_running_server() {
    let world = World::new().await;
    let terminal = Terminal {
        database_url: world.database_url.clone(),
    };
    // A key made there counts here at once, and a price too.
    let key = [
        "key", "create", "--name", "new", "--scope", "webhook", "--json",
    ];
    let key = terminal.json(&key).await;
    let price = [
        "price", "set", "--model", "gpt-4", "--input", "300", "--output", "600",
    ];
    let text = stdout(&terminal.run(&price).await);
    assert!(text.contains("Version 2"), "{text}");
    let new = Value::String(SAMPLE.to_owned());
    let body = new
        .as_str()
        .expect("text")
        .replace("2024-01-15T10:30:00Z", "2999-01-01T00:00:00Z");
    let request = world
        .request(reqwest::Method::POST, "/api/dify/webhook")
        .bearer_auth(key["key"].as_str().expect("a key"))
        .body(body);
    let answer = crate::world::answer(request).await;
    assert_eq!(answer.data()["pointsDeducted"], 930);

    let balance = terminal
        .json(&["balance", "--user", "user_789", "--json"])
        .await;
    assert_eq!(balance["balance"], -930);
}

#[tokio::test]
async fn simulated_traffic_is_charged_and_labelled() {
    let world = World::new().await;
    let terminal = Terminal {
        database_url: world.database_url.clone(),
    };
    let url = world.url("");
    let simulate = [
        "simulate",
        "--rate",
        "50",
        "--seconds",
        "1",
        "--users",
        "3",
        "--url",
        &url,
    ];
    let text = stdout(&terminal.run(&simulate).await);
    assert!(text.contains("50 simulated messages"), "{text}");
    assert!(text.contains("50  charged"), "{text}");
    assert!(text.contains("p99"), "{text}");
    for event in &world.deliveries(50).await {
        assert_eq!(event.source, "simulated traffic");
        assert!(
            event
                .message_id
                .as_deref()
                .expect("an id")
                .starts_with("simulated-")
        );
        assert!(
            event
                .user_id
                .as_deref()
                .expect("a user")
                .starts_with("simulated-user-")
        );
    }
    let keys = world.ledger().api_keys().await.expect("keys");
    let key = keys.iter().find(|key| key.name == "simulated traffic");
    assert!(
        key.expect("a key").revoked_at.is_some(),
        "the key of the run ended with it"
    );
    world.verify().await;
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_one_line() {
    let mut wrong_url = tollgate(&["balance", "--user", "u1"]);
    wrong_url.env("DATABASE_URL", "mysql://root:secret@localhost/x");
    let text = error(&output(wrong_url).await);
    assert!(
        text.contains("DATABASE_URL") && !text.contains("secret"),
        "{text}"
    );

    let no_data = folder("no-postgres");
    let mut no_postgres = tollgate(&["verify"]);
    no_postgres
        .env("TOLLGATE_DATA_DIR", &no_data)
        .env("TOLLGATE_POSTGRES_BIN", "/nowhere");
    let text = error(&output(no_postgres).await);
    assert!(text.contains("TOLLGATE_POSTGRES_BIN"), "{text}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut serve = tollgate(&["serve"]);
    serve.env("TOLLGATE_DATA_DIR", &no_data).env(
        "TOLLGATE_ADDR",
        taken.local_addr().expect("an address").to_string(),
    );
    let text = error(&output(serve).await);
    assert!(
        text.contains("in use") && text.contains("TOLLGATE_ADDR"),
        "{text}"
    );

    fs::remove_dir_all(no_data).expect("removed");

    let unknown = output(tollgate(&["blance"])).await;
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test]
async fn help_explains_every_variable() {
    let text = stdout(&output(tollgate(&["--help"])).await);
    for variable in [
        "DATABASE_URL",
        "TOLLGATE_ADDR",
        "TOLLGATE_DATA_DIR",
        "TOLLGATE_LOG",
        "TOLLGATE_POSTGRES_BIN",
        "TOLLGATE_PUBLIC_URL",
        "TOLLGATE_RECHARGE_URL",
        "TOLLGATE_SECRET_KEY",
        "TOLLGATE_SITE_ROOT",
    ] {
        assert!(text.contains(variable), "{variable}");
    }
}
