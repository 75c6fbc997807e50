//! The OpenAI-compatible gateway, in front of a provider that is a real HTTP server.

use ledger::{CreatedKey, NewSource, Scope};
use private_postgres::{Cluster, Durability};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shared::api::Outcome;
use shared::source::{SourceEntrance, SourceSettings};
use testkit::provider::{self, ANSWER, DIFY_ID, EMBEDDINGS, Provider, stream};
use testkit::{Answer, World, actor, answer, folder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A world with a provider, and a source in front of it.
struct Models {
    world: World,
    provider: Provider,
    key: String,
}

impl Models {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SourceSettings)) -> Self {
        let world = World::with(|config| {
            config.recharge_url = Some("https://shop.example".to_owned());
        });
        Self::over(world.await, change).await
    }

    async fn over(world: World, change: impl FnOnce(&mut SourceSettings)) -> Self {
        let provider = Provider::start().await;
        let mut settings = SourceSettings {
            upstream_url: Some(provider.url.clone()),
            ..SourceSettings::default()
        };
        change(&mut settings);
        let key = source(
            &world,
            "models",
            SourceEntrance::Openai,
            settings,
            provider::KEY,
        )
        .await;
        Self {
            key: key.key,
            world,
            provider,
        }
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.world
            .request(Method::POST, &format!("/openai/v1/{path}"))
            .bearer_auth(&self.key)
            .json(body)
    }

    /// A chat completion of `u1`.
    fn chat(&self, more: &Value) -> RequestBuilder {
        let mut body = json!({ "model": "gpt-4", "user": "u1", "max_tokens": 100,
            "messages": [{ "role": "user", "content": "Hello" }] });
        let fields = body.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        fields.retain(|_, value| !value.is_null());
        self.post("chat/completions", &body)
    }

    async fn held(&self, user: &str) -> String {
        let user = user.parse().expect("a user");
        let balance = self.world.ledger().balance(&user).await;
        balance.expect("a balance").held.to_string()
    }
}

async fn source(
    world: &World,
    name: &str,
    entrance: SourceEntrance,
    settings: SourceSettings,
    upstream_key: &str,
) -> CreatedKey {
    let new = NewSource {
        name: name.to_owned(),
        entrance,
        namespace: None,
        require_signature: false,
        settings,
        upstream_key: Some(upstream_key.to_owned()),
    };
    let created = world.ledger().create_source(&new, &actor()).await;
    created.expect("a source")
}

async fn text(request: RequestBuilder) -> (StatusCode, String) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    (status, response.text().await.expect("a body"))
}

#[track_caller]
fn error(answer: &Answer) -> (u16, &str, &str) {
    let error = &answer.body["error"];
    assert!(!error["message"].as_str().expect("a message").is_empty());
    assert!(error.as_object().expect("an object").contains_key("param"));
    (
        answer.status.as_u16(),
        error["type"].as_str().expect("a type"),
        error["code"].as_str().expect("a code"),
    )
}

#[tokio::test]
async fn an_answer_passes_byte_by_byte_and_is_charged_by_its_usage() {
    let models = Models::new().await;
    models.world.grant("u1", "100").await;
    let request = models
        .chat(&json!({ "temperature": 0.5 }))
        .header("cookie", "language=zh")
        .header("x-api-version", "7");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-provider"], "1");
    assert_eq!(response.text().await.expect("a body"), ANSWER);
    // 40 + 60 cached at 30 points per thousand, 30 + 20 thought at 60.
    assert_eq!(models.world.balance("u1").await, "94");
    assert_eq!(models.held("u1").await, "0");

    let asked = &models.provider.asked()[0];
    assert_eq!(asked.headers["authorization"], "Bearer sk-of-the-provider");
    assert_eq!(asked.headers["accept-encoding"], "identity");
    assert_eq!(asked.headers["x-api-version"], "7");
    assert!(!asked.headers.contains_key("cookie"));
    assert!(asked.json().get("stream_options").is_none());

    let history = models
        .world
        .get("/api/user/points/history?userId=u1&kind=charge")
        .await;
    let charge = history.data()["items"][0].to_string();
    for part in ["\"cachedInput\"", "\"reasoning\"", "gpt-4"] {
        assert!(
            charge.to_lowercase().contains(&part.to_lowercase()),
            "{part}: {charge}"
        );
    }
    models.world.verify().await;
}

#[tokio::test]
async fn a_stream_passes_byte_by_byte_with_the_usage_only_if_asked_for() {
    let models = Models::new().await;
    models.world.grant("u1", "100").await;
    let asks = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let (status, streamed) = text(models.chat(&asks)).await;
    assert_eq!((status, streamed), (StatusCode::OK, stream(true)));
    assert_eq!(models.world.balance("u1").await, "94");

    let (_, streamed) = text(models.chat(&json!({ "stream": true }))).await;
    assert_eq!(streamed, stream(false));
    assert_eq!(models.world.balance("u1").await, "88");
    let asked = models.provider.asked();
    assert_eq!(
        asked[1].json()["stream_options"],
        json!({ "include_usage": true })
    );

    // The old kind of completion streams alike.
    let body = json!({ "model": "gpt-4", "user": "u1", "prompt": "Hello", "stream": true });
    let (_, streamed) = text(models.post("completions", &body)).await;
    assert_eq!(streamed, stream(false));
    assert_eq!(models.world.balance("u1").await, "82");
    assert_eq!(models.provider.asked()[2].uri, "/v1/completions");
    models.world.verify().await;
}

#[tokio::test]
async fn embeddings_cost_their_input_and_the_list_of_models_nothing() {
    let models = Models::new().await;
    models.world.price("text-embedding-3-small", "2", "0").await;
    models.world.grant("u1", "10").await;
    let body =
        json!({ "model": "text-embedding-3-small", "user": "u1", "input": ["Hello", "there"] });
    assert_eq!(text(models.post("embeddings", &body)).await.1, EMBEDDINGS);
    assert_eq!(models.world.balance("u1").await, "8");

    for path in ["models", "models/org/gpt-4"] {
        let request = models
            .world
            .request(Method::GET, &format!("/openai/v1/{path}?limit=1"))
            .bearer_auth(&models.key);
        assert_eq!(answer(request).await.body["object"], "list");
    }
    let asked = models.provider.asked();
    assert_eq!(asked[2].uri, "/v1/models/org/gpt-4?limit=1");
    assert_eq!(models.world.balance("u1").await, "8");
}

#[tokio::test]
async fn who_cannot_pay_is_told_so_before_anything_runs() {
    let models = Models::new().await;
    // 5 tokens or so at 30 and 100 at 60 points per thousand: a little more than 6 points.
    models.world.grant("u1", "6").await;
    for stream in [false, true] {
        let refused = answer(models.chat(&json!({ "stream": stream }))).await;
        assert_eq!(
            error(&refused),
            (402, "insufficient_quota", "insufficient_quota")
        );
        let message = refused.body["error"]["message"].as_str().expect("text");
        for part in ["积分不足", "Not enough points", "https://shop.example"] {
            assert!(message.contains(part), "{message}");
        }
    }
    // A call that is known to be shorter is affordable.
    let (status, _) = text(models.chat(&json!({ "max_completion_tokens": 50 }))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(models.provider.asked().len(), 1);
    // What it really cost is charged, more than it was held for.
    assert_eq!(models.world.balance("u1").await, "0");
}

#[tokio::test]
async fn the_points_of_a_call_are_held_while_it_runs() {
    let models = Models::new().await;
    models.world.grant("u1", "10").await;
    let request = models
        .chat(&json!({ "stream": true }))
        .header("x-stand-in", "waits");
    models.provider.pass_pieces(1);
    let mut response = request.send().await.expect("an answer");
    assert!(response.chunk().await.expect("a piece").is_some());
    assert_ne!(models.held("u1").await, "0");
    // The same points are not promised twice.
    let second = answer(models.chat(&json!({}))).await;
    assert_eq!(second.status, StatusCode::PAYMENT_REQUIRED);
    models.provider.pass_pieces(4);
    while response.chunk().await.expect("a piece").is_some() {}
    assert_eq!(models.held("u1").await, "0");
    assert_eq!(models.world.balance("u1").await, "4");
    models.world.verify().await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_charged_for_what_the_provider_goes_on_to_make() {
    let models = Models::new().await;
    models.world.grant("u1", "100").await;
    let request = models
        .chat(&json!({ "stream": true }))
        .header("x-stand-in", "waits");
    models.provider.pass_pieces(1);
    let mut response = request.send().await.expect("an answer");
    assert!(response.chunk().await.expect("a piece").is_some());
    drop(response);
    models.provider.pass_pieces(4);
    models.provider.stream_ended().await;
    let delivered = models.world.deliveries(1).await;
    assert_eq!(delivered[0].outcome, Outcome::Charged);
    assert_eq!(models.world.balance("u1").await, "94");
    assert_eq!(models.held("u1").await, "0");
}

#[tokio::test]
async fn an_answer_without_usage_is_estimated_and_one_that_failed_is_free() {
    let models = Models::new().await;
    models.world.grant("u1", "100").await;
    let ask = async |mode: &'static str, stream: bool| {
        let request = models.chat(&json!({ "stream": stream }));
        request
            .header("x-stand-in", mode)
            .send()
            .await
            .expect("an answer")
    };
    // Three tokens or so in, four out.
    for (mode, stream) in [("no usage", false), ("no usage", true)] {
        let before: f64 = models.world.balance("u1").await.parse().expect("a number");
        let response = ask(mode, stream).await;
        response.bytes().await.expect("the whole answer");
        let after: f64 = models.world.balance("u1").await.parse().expect("a number");
        assert!((0.3..0.5).contains(&(before - after)), "{before} {after}");
    }
    // The client sees that the answer broke off; what came is charged by estimate.
    let before = models.world.balance("u1").await;
    let broken = ask("breaks off", true).await;
    assert_eq!(broken.status(), StatusCode::OK);
    broken.bytes().await.expect_err("it breaks off");
    models.world.deliveries(3).await;
    let after = models.world.balance("u1").await;
    assert_ne!(before, after);

    // What the provider refuses, it says itself.
    let refused = ask("overloaded", true).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["x-provider"], "1");
    assert!(refused.text().await.expect("a body").contains("overloaded"));
    let inside = ask("error inside", true).await.text().await;
    assert!(inside.expect("a body").contains("no such deployment"));
    let hung_up = answer(models.chat(&json!({})).header("x-stand-in", "hangs up")).await;
    assert_eq!(
        error(&hung_up),
        (502, "server_error", "upstream_unreachable")
    );
    assert_eq!(models.world.balance("u1").await, after);
    assert_eq!(models.held("u1").await, "0");
    models.world.deliveries(3).await;
    models.world.verify().await;
}

#[tokio::test]
async fn a_provider_that_is_down_costs_nothing() {
    let models = Models::with(|settings| {
        // A port that nothing listens on.
        settings.upstream_url = Some("http://127.0.0.1:1/v1".to_owned());
    })
    .await;
    models.world.grant("u1", "100").await;
    let down = answer(models.chat(&json!({}))).await;
    assert_eq!(error(&down), (502, "server_error", "upstream_unreachable"));
    assert_eq!(
        (
            models.held("u1").await.as_str(),
            models.world.balance("u1").await.as_str()
        ),
        ("0", "100")
    );
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_unless_the_operator_prefers_answers() {
    let models = Models::new().await;
    models.world.grant("u1", "100").await;
    let refused = answer(models.chat(&json!({ "model": "gpt-9" }))).await;
    assert_eq!(
        error(&refused),
        (400, "invalid_request_error", "model_not_priced")
    );
    assert_eq!(refused.body["error"]["param"], "model");
    assert!(models.provider.asked().is_empty());

    let models = Models::with(|settings| settings.is_fail_open = true).await;
    let (status, _) = text(models.chat(&json!({ "model": "gpt-9" }))).await;
    assert_eq!(status, StatusCode::OK);
    // It waits for its price, so that it is not free.
    let waiting = models
        .world
        .admin(Method::GET, "quarantine", &Value::Null)
        .await;
    assert_eq!(waiting.data()["items"][0]["reason"], "unknown_model");
    // Who is known to lack points is refused all the same.
    let refused = answer(models.chat(&json!({}))).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn a_call_without_a_user_is_paid_by_its_source() {
    let models = Models::new().await;
    let nobody = json!({ "user": null });
    let refused = answer(models.chat(&nobody)).await;
    assert_eq!(
        error(&refused),
        (402, "insufficient_quota", "insufficient_quota")
    );
    let message = refused.body["error"]["message"].as_str().expect("text");
    assert!(message.contains("--user 'source:models'"), "{message}");
    models.world.grant("source:models", "100").await;
    assert_eq!(text(models.chat(&nobody)).await.0, StatusCode::OK);
    assert_eq!(models.world.balance("source:models").await, "94");

    // An operator who prefers answers lets it go into debt.
    let models = Models::with(|settings| settings.is_fail_open = true).await;
    assert_eq!(text(models.chat(&nobody)).await.0, StatusCode::OK);
    assert_eq!(models.world.balance("source:models").await, "-6");
}

#[tokio::test]
async fn difys_own_id_of_a_user_is_translated_where_an_app_knows_it() {
    let models = Models::new().await;
    let dify = |name: &'static str, app_key: &'static str| {
        let settings = SourceSettings {
            upstream_url: Some(models.provider.url.clone()),
            ..SourceSettings::default()
        };
        source(
            &models.world,
            name,
            SourceEntrance::Gateway,
            settings,
            app_key,
        )
    };
    dify("other app", "app-2").await;
    dify("app", "app-1").await;
    let unknown = "22222222-2222-4222-8222-222222222222";
    for user in ["customer-4821", unknown] {
        models.world.grant(user, "100").await;
    }
    for _ in 0..2 {
        for user in [DIFY_ID, unknown] {
            let (status, _) = text(models.chat(&json!({ "user": user }))).await;
            assert_eq!(status, StatusCode::OK);
        }
    }
    assert_eq!(models.world.balance("customer-4821").await, "88");
    assert_eq!(models.world.balance(unknown).await, "88");
    // Each was asked for once, of both apps.
    let asked = models.provider.asked();
    let lookups = asked
        .iter()
        .filter(|it| it.uri.starts_with("/v1/end-users/"));
    assert_eq!(lookups.count(), 4);

    // Who cannot be asked for is not taken for somebody else.
    dify("broken app", "app-broken").await;
    let stranger = "33333333-3333-4333-8333-333333333333";
    models.world.grant(stranger, "100").await;
    let refused = answer(models.chat(&json!({ "user": stranger }))).await;
    assert_eq!(error(&refused), (503, "server_error", "user_unknown"));
    assert_eq!(models.world.balance(stranger).await, "100");
}

#[tokio::test]
async fn a_source_that_only_protects_checks_and_charges_nothing() {
    let models = Models::with(|settings| settings.is_protecting_only = true).await;
    assert_eq!(
        answer(models.chat(&json!({}))).await.status,
        StatusCode::PAYMENT_REQUIRED
    );
    models.world.grant("u1", "100").await;
    assert_eq!(text(models.chat(&json!({}))).await.1, ANSWER);
    assert_eq!(
        text(models.chat(&json!({ "stream": true }))).await.1,
        stream(false)
    );
    assert_eq!(models.world.balance("u1").await, "100");
    models.world.deliveries(0).await;
}

#[tokio::test]
async fn only_its_own_key_opens_it_and_only_what_is_metered_passes() {
    let models = Models::new().await;
    models.world.grant("u1", "100").await;
    let revoked = models
        .world
        .ledger()
        .create_api_key(
            "gone",
            Scope::Entrance(SourceEntrance::Openai),
            false,
            &actor(),
        )
        .await
        .expect("a key");
    let ended = models
        .world
        .ledger()
        .revoke_api_key(revoked.id, &actor())
        .await;
    ended.expect("revoked");
    for (key, expected) in [
        (
            &models.world.admin_key,
            (403, "invalid_request_error", "wrong_scope"),
        ),
        (
            &models.world.webhook_key,
            (403, "invalid_request_error", "wrong_scope"),
        ),
        (
            &revoked.key,
            (401, "invalid_request_error", "invalid_api_key"),
        ),
    ] {
        for path in ["chat/completions", "embeddings"] {
            let request = models
                .world
                .request(Method::POST, &format!("/openai/v1/{path}"))
                .bearer_auth(key)
                .json(&json!({ "model": "gpt-4", "user": "u1" }));
            assert_eq!(error(&answer(request).await), expected);
        }
    }
    for (method, path) in [
        (Method::POST, "images/generations"),
        (Method::GET, "chat/completions"),
        (Method::POST, "models"),
        (Method::POST, ""),
    ] {
        let request = models
            .world
            .request(method, &format!("/openai/v1/{path}"))
            .bearer_auth(&models.key);
        assert_eq!(
            error(&answer(request).await),
            (404, "invalid_request_error", "not_metered")
        );
    }
    // Written by hand, because clients tidy an address up before they send it.
    for path in [
        "models/../files",
        "models/%2e%2E/files",
        "models/..%5C../files",
    ] {
        let mut stream = TcpStream::connect(models.world.server.addr())
            .await
            .expect("connected");
        let request = format!(
            "GET /openai/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            models.key
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut told = String::new();
        stream.read_to_string(&mut told).await.expect("read");
        let is_refused = told.starts_with("HTTP/1.1 404") && told.contains("not_metered");
        let reached: Vec<String> = models
            .provider
            .asked()
            .into_iter()
            .map(|it| it.uri)
            .collect();
        assert!(
            is_refused || reached.iter().all(|uri| uri.starts_with("/v1/models/")),
            "{path}: {told} {reached:?}"
        );
    }
    for (body, param) in [
        ("{", Value::Null),
        ("{}", "model".into()),
        (r#"{"model":"gpt-4","user":"a\u0000b"}"#, "user".into()),
    ] {
        let request = models
            .world
            .request(Method::POST, "/openai/v1/chat/completions")
            .bearer_auth(&models.key)
            .body(body);
        let refused = answer(request).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.body["error"]["param"], param);
    }
    models.world.deliveries(0).await;
}

#[tokio::test]
async fn a_request_with_pictures_passes_whole() {
    let models = Models::new().await;
    models.world.grant("u1", "100").await;
    let picture = format!("data:image/png;base64,{}", "A".repeat(5_000_000));
    let content = json!([{ "type": "image_url", "image_url": { "url": picture } }]);
    let request = json!({ "messages": [{ "role": "user", "content": content }] });
    assert_eq!(text(models.chat(&request)).await.1, ANSWER);
    assert_eq!(
        models.provider.asked()[0].json()["messages"][0]["content"],
        content
    );
}

#[tokio::test]
async fn while_postgres_is_away_a_source_that_prefers_answers_passes_calls_and_charges_them_later()
{
    let data_dir = folder("openai-away");
    let start = || Cluster::start_with(&data_dir, Durability::Disposable);
    let cluster = start().await.expect("a cluster");
    cluster.create_database("away").await.expect("a database");
    let socket = cluster.socket_folder().display().to_string();
    let url = format!("postgres:///away?user=tollgate&host={socket}");
    let world = World::with(|config| config.database_url = Some(url)).await;
    let models = Models::over(world, |settings| settings.is_fail_open = true).await;
    models.world.grant("u1", "100").await;
    // The key has been seen before.
    assert_eq!(text(models.chat(&json!({}))).await.1, ANSWER);
    let files = cluster.folder().to_owned();
    cluster.leave().await;

    assert_eq!(text(models.chat(&json!({}))).await.1, ANSWER);
    let cluster = start().await.expect("the cluster again");
    models.world.deliveries(2).await;
    assert_eq!(models.world.balance("u1").await, "88");
    models.world.verify().await;
    drop(models);
    cluster.leave().await;
    std::fs::remove_dir_all(files).expect("removed");
    drop(std::fs::remove_dir_all(data_dir));
}

/// OpenAI's library for Python, in an environment of its own that `scripts/setup.sh test` makes.
#[tokio::test]
async fn openais_own_library_finds_all_as_it_expects() {
    let models = Models::new().await;
    models.world.price("text-embedding-3-small", "2", "0").await;
    models.world.grant("u1", "100").await;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = std::process::Command::new(format!("{root}/.tools/openai/bin/python"));
    command
        .arg(format!("{root}/end2end/openai/calls.py"))
        .args([&models.world.url("/openai/v1"), &models.key]);
    let run = tokio::task::spawn_blocking(move || command.output()).await;
    let output = run
        .expect("no panic")
        .expect("scripts/setup.sh test was run");
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        told["whole"],
        json!({ "text": "你好 there", "reasoning": 20 })
    );
    assert_eq!(
        told["plain"],
        json!({ "text": "你好 there", "usages": [], "chunks": 3 })
    );
    assert_eq!(
        told["told"],
        json!({ "text": "你好 there", "usages": [150], "chunks": 4 })
    );
    assert_eq!(told["embedding"], 1000);
    assert_eq!(told["models"], json!(["gpt-4"]));
    assert_eq!(told["refused"]["status"], 402);
    assert_eq!(told["refused"]["code"], "insufficient_quota");
    assert_eq!(told["stranger"], "invalid_api_key");
    // Three completions and an embedding; what was refused never reached the provider.
    assert_eq!(models.world.balance("u1").await, "80");
    assert_eq!(models.provider.asked().len(), 5);
    models.world.verify().await;
}
