//! `tollgate <command>`, as a program of its own.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testkit::{Database, World, event, folder};
use tokio::task::spawn_blocking;

use crate::SAMPLE;

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
pub async fn output(mut command: Command) -> Output {
    let run = spawn_blocking(move || command.stdin(Stdio::null()).output());
    run.await.expect("no panic").expect("the program runs")
}

#[track_caller]
pub fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
pub fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "one clear line: {text}");
    text
}

/// Runs commands on one database.
pub struct Terminal {
    pub database_url: String,
}

impl Terminal {
    /// On a new installation.
    pub async fn new() -> Self {
        let database_url = Database::empty().await.url();
        let terminal = Self { database_url };
        stdout(&terminal.run(&["migrate"]).await);
        terminal
    }

    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tollgate(arguments);
        command.env("DATABASE_URL", &self.database_url);
        output(command).await
    }

    pub async fn json(&self, arguments: &[&str]) -> Value {
        let text = stdout(&self.run(arguments).await);
        serde_json::from_str(&text).expect("JSON")
    }
}

#[tokio::test]
async fn commands_work_without_a_server() {
    let terminal = Terminal::new().await;

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
async fn corrections_are_made_from_a_terminal() {
    let world = World::new().await;
    let terminal = Terminal {
        database_url: world.database_url.clone(),
    };
    let of_u1 = |words: &str| -> Vec<String> {
        let mut arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
        arguments.extend(["--user".to_owned(), "u1".to_owned()]);
        arguments
    };
    let run = async |words: &str| {
        let arguments = of_u1(words);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        terminal.run(&arguments).await
    };
    let text = stdout(&run("points add --points 10 --reason gift --expires 2999-12-31").await);
    assert!(text.contains("2999-12-31T00:00:00Z"), "{text}");
    let bought = stdout(&run("points add --points 5 --reason sale --bought --json").await);
    let bought: Value = serde_json::from_str(&bought).expect("JSON");
    assert_eq!(
        (&bought["entry"], &bought["balance"]),
        (&2.into(), &15.into())
    );
    let text = stdout(&run("balance").await);
    assert!(text.contains("10 expire on 2999-12-31T00:00:00Z"), "{text}");
    let balance: Value = serde_json::from_str(&stdout(&run("balance --json").await)).expect("JSON");
    assert_eq!(balance["expiring"][0]["points"], 10);

    let charged = world.deliver(event("m1", "u1", "gpt-4", 1000, 0)).await;
    let id = charged.data()["consumptionId"].as_str().expect("an id");
    let part = format!("points refund --consumption {id} --points 10 --reason goodwill --json");
    let part: Value = serde_json::from_str(&stdout(&run(&part).await)).expect("JSON");
    assert_eq!(
        (&part["correctsEntry"], &part["balance"]),
        (&3.into(), &(-5).into())
    );
    let text = stdout(&run("points refund --entry 3 --reason goodwill").await);
    assert!(
        text.contains("20 points") && text.contains("15 points"),
        "{text}"
    );
    let again = run("points refund --entry 3 --reason goodwill").await;
    assert!(error(&again).contains("points: must be more than 0"));
    for usage in [
        "points refund --reason goodwill",
        "points refund --entry 3 --consumption cons_1 --reason goodwill",
        "points add --points 1 --reason gift --expires tomorrow",
    ] {
        assert_eq!(run(usage).await.status.code(), Some(2), "{usage}");
    }
    let text = stdout(&run("points debt-limit --limit 30").await);
    assert!(text.contains("-30"), "{text}");
    world.verify().await;
}

#[tokio::test]
async fn waiting_messages_are_handled_from_a_terminal() {
    let world = World::new().await;
    let terminal = Terminal {
        database_url: world.database_url.clone(),
    };
    let report = event("m1", "u1", "gpt-4", 1000, 0);
    world
        .deliver(report.replace("\"total_tokens\":1000", "\"total_tokens\":7"))
        .await
        .data();
    world
        .deliver(event("m2", "u1", "unheard-of", 1, 1))
        .await
        .data();
    let list = terminal.json(&["quarantine", "list", "--json"]).await;
    let id = |index: usize| {
        let id = list["items"][index]["id"].as_str();
        id.expect("an id").to_owned()
    };
    let text = stdout(
        &terminal
            .run(&["quarantine", "list", "--reason", "unknown_model"])
            .await,
    );
    assert!(
        text.contains("1 messages") && text.contains(&id(0)),
        "{text}"
    );
    let text = stdout(&terminal.run(&["quarantine", "show", &id(0)]).await);
    assert!(text.contains("\"message_id\":\"m2\""), "the body: {text}");

    let still = terminal.run(&["quarantine", "charge", &id(0)]).await;
    assert_eq!(still.status.code(), Some(1), "it has no price yet");
    let dismiss = [
        "quarantine",
        "dismiss",
        &id(0),
        "--reason",
        "a test",
        "--json",
    ];
    assert_eq!(terminal.json(&dismiss).await["status"], "dismissed");
    let gone = terminal.run(&["quarantine", "charge", &id(0)]).await;
    assert!(error(&gone).contains("nothing"));

    let files = folder("corrected");
    let file = files.join("usage.json");
    fs::write(&file, event("m1", "u1", "gpt-4", 2000, 0)).expect("written");
    let file = file.to_str().expect("text");
    let charge = [
        "quarantine",
        "charge",
        &id(1),
        "--corrected",
        file,
        "--json",
    ];
    assert_eq!(terminal.json(&charge).await["pointsDeducted"], 60);
    fs::remove_dir_all(files).expect("removed");
    assert_eq!(world.balance("u1").await, "-60");
    world.verify().await;
}

#[tokio::test]
async fn a_re_rating_is_shown_first_and_entered_when_told_to() {
    let world = World::new().await;
    let terminal = Terminal {
        database_url: world.database_url.clone(),
    };
    for message in ["m1", "m2"] {
        world
            .deliver(event(message, "u1", "gpt-4", 1000, 0))
            .await
            .data();
    }
    world.price("gpt-4", "20", "60").await;
    let rerate = async |more: &[&str]| {
        let range = ["rerate", "--from", "2020-01-01", "--to", "2999-01-01"];
        terminal.run(&[&range, more].concat()).await
    };
    let text = stdout(&rerate(&["--price", "gpt-4"]).await);
    assert!(text.contains("u1: 20 points for 2 messages"), "{text}");
    assert!(text.contains("Nothing was entered"), "{text}");
    assert_eq!(world.balance("u1").await, "-60");
    let apply = [
        "--price", "gpt-4@2", "--apply", "--reason", "too dear", "--json",
    ];
    for differences in [1, 0] {
        let applied: Value = serde_json::from_str(&stdout(&rerate(&apply).await)).expect("JSON");
        assert_eq!(
            applied["differences"].as_array().map(Vec::len),
            Some(differences)
        );
        assert_eq!(applied["job"]["error"], Value::Null);
        assert_eq!(world.balance("u1").await, "-40");
    }
    let jobs = terminal.json(&["jobs", "--json"]).await;
    assert_eq!(jobs[0]["kind"], "rerate");
    let text = stdout(&terminal.run(&["jobs", "--limit", "1"]).await);
    assert!(
        text.contains("rerate") && text.contains("finished"),
        "{text}"
    );

    let unknown = rerate(&["--price", "gpt-4@3"]).await;
    assert!(error(&unknown).contains("no version 3"));
    let no_reason = rerate(&["--price", "gpt-4", "--apply"]).await;
    assert_eq!(no_reason.status.code(), Some(2));
    world.verify().await;
}

#[tokio::test]
async fn a_password_can_come_from_standard_input() {
    let Terminal { database_url } = Terminal::new().await;
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
    let answer = testkit::answer(request).await;
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
    let mut no_postgres = tollgate(&["migrate"]);
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
async fn only_serving_and_migrating_make_an_installation() {
    let empty = folder("no-installation");
    let elsewhere = empty.join("nowhere");
    for command in [&["verify"][..], &["balance", "--user", "u1"], &["jobs"]] {
        let mut command = tollgate(command);
        command
            .env("TOLLGATE_DATA_DIR", &elsewhere)
            .env_remove("TOLLGATE_SECRET_KEY");
        let text = error(&output(command).await);
        for part in [
            elsewhere.to_str().expect("text"),
            "--data-dir",
            "TOLLGATE_DATA_DIR",
            "DATABASE_URL",
            "tollgate serve",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    let left: Vec<_> = fs::read_dir(&empty).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");

    let terminal = Terminal {
        database_url: Database::empty().await.url(),
    };
    let text = error(&terminal.run(&["verify"]).await);
    assert!(
        text.contains("no installation") && text.contains("DATABASE_URL"),
        "{text}"
    );
    let mut connection = PgConnection::connect(&terminal.database_url)
        .await
        .expect("a connection");
    let tables: i64 = sqlx::query_scalar(
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace",
    )
    .fetch_one(&mut connection)
    .await
    .expect("a count");
    assert_eq!(tables, 0, "it was only looked at");
    fs::remove_dir_all(empty).expect("removed");
}

#[tokio::test]
async fn a_schema_that_is_not_this_programs_is_left_alone() {
    let terminal = Terminal::new().await;
    let schema_becomes = async |statement: &'static str| {
        let connected = PgConnection::connect(&terminal.database_url).await;
        let mut connection = connected.expect("a connection");
        let done = sqlx::query(statement).execute(&mut connection).await;
        done.expect("done");
    };
    schema_becomes("delete from _sqlx_migrations").await;
    let text = error(&terminal.run(&["verify"]).await);
    assert!(text.contains("tollgate migrate"), "{text}");
    schema_becomes(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'later', true, '', 0)",
    )
    .await;
    let text = error(&terminal.run(&["verify"]).await);
    assert!(text.contains("another version"), "{text}");
}

#[tokio::test]
async fn a_folder_without_the_secret_key_is_not_that_of_the_database() {
    let Terminal { database_url } = Terminal::new().await;
    let empty = folder("no-secret");
    let mut verify = tollgate(&["verify"]);
    verify
        .env("DATABASE_URL", database_url)
        .env("TOLLGATE_DATA_DIR", &empty)
        .env_remove("TOLLGATE_SECRET_KEY");
    let text = error(&output(verify).await);
    assert!(
        text.contains("secret key") && text.contains("TOLLGATE_DATA_DIR"),
        "{text}"
    );
    let left: Vec<_> = fs::read_dir(&empty).expect("a folder").collect();
    assert!(left.is_empty(), "no other key was made: {left:?}");
    fs::remove_dir_all(empty).expect("removed");
}

#[tokio::test]
async fn help_explains_every_variable() {
    let text = stdout(&output(tollgate(&["--help"])).await);
    for variable in [
        "DATABASE_URL",
        "TOLLGATE_ADDR",
        "TOLLGATE_DATA_DIR",
        "TOLLGATE_DELIVERY_RETENTION_MONTHS",
        "TOLLGATE_LOG",
        "TOLLGATE_POSTGRES_BIN",
        "TOLLGATE_PUBLIC_URL",
        "TOLLGATE_QUEUE_MESSAGES",
        "TOLLGATE_RECHARGE_URL",
        "TOLLGATE_SECRET_KEY",
        "TOLLGATE_SITE_ROOT",
        "TOLLGATE_WRITERS",
    ] {
        assert!(text.contains(variable), "{variable}");
    }
}
