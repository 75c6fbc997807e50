//! The importable workflows of `deploy/dify/`, run as Dify runs them, against a real server: code
//! nodes by Python, HTTP nodes over HTTP, and only the model is made up.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use ledger::{NewSource, Scope};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::api::Outcome;
use shared::source::{SourceEntrance, SourceSettings};
use testkit::{World, actor};
use tokio::task::spawn_blocking;

const PLAIN: &str = include_str!("../../../deploy/dify/tollgate-chatflow.yml");
const SIGNED: &str = include_str!("../../../deploy/dify/tollgate-chatflow-signed.yml");

/// A run of an imported chatflow.
struct Run<'a> {
    world: &'a World,
    graph: &'a Value,
    /// By node and name, as `{{#node.name#}}` names them.
    variables: HashMap<(String, String), Value>,
    answers: Vec<String>,
    /// The nodes that ran, and those of them that failed.
    ran: Vec<String>,
    failed: Option<StatusCode>,
}

impl<'a> Run<'a> {
    fn new(
        world: &'a World,
        workflow: &'a Value,
        user: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut variables = HashMap::new();
        let mut set = |node: &str, name: &str, value: &str| {
            variables.insert((node.to_owned(), name.to_owned()), Value::from(value));
        };
        set("sys", "user_id", user);
        set("sys", "query", "Hello");
        set(
            "sys",
            "workflow_run_id",
            "fb47b2e6-5e43-4f90-be01-d5c5a088d156",
        );
        set(
            "sys",
            "conversation_id",
            "45701982-8118-4bc5-8e9b-64562b4555f2",
        );
        let declared = workflow["environment_variables"]
            .as_array()
            .expect("a list");
        for variable in declared {
            let name = variable["name"].as_str().expect("a name");
            assert_eq!(variable["selector"], json!(["env", name]));
            set("env", name, variable["value"].as_str().expect("a text"));
        }
        assert_eq!(
            declared.len(),
            environment.len(),
            "each is known to the test"
        );
        for (name, value) in environment {
            set("env", name, value);
        }
        Self {
            world,
            graph: &workflow["graph"],
            variables,
            answers: Vec::new(),
            ran: Vec::new(),
            failed: None,
        }
    }

    /// Runs from the start node until nothing follows, or a node fails.
    async fn finish(mut self) -> Self {
        let mut next = Some("start".to_owned());
        while let Some(id) = next {
            let nodes = self.graph["nodes"].as_array().expect("nodes");
            let node = nodes.iter().find(|node| node["id"] == id.as_str());
            let data = &node.unwrap_or_else(|| panic!("node {id}"))["data"];
            self.ran.push(id.clone());
            let handle = self.execute(&id, data).await;
            if self.failed.is_some() {
                break;
            }
            let edges = self.graph["edges"].as_array().expect("edges");
            next = edges
                .iter()
                .find(|edge| edge["source"] == id.as_str() && edge["sourceHandle"] == handle)
                .map(|edge| edge["target"].as_str().expect("a target").to_owned());
        }
        self
    }

    /// Gives the handle at which the run goes on.
    async fn execute(&mut self, id: &str, data: &Value) -> &'static str {
        match data["type"].as_str().expect("a type") {
            "start" => {}
            "code" => self.run_code(id, data).await,
            "http-request" => self.send(id, data).await,
            "if-else" => {
                let case = &data["cases"][0];
                let condition = &case["conditions"][0];
                assert_eq!(condition["comparison_operator"], "contains");
                let subject = self.selected(&condition["variable_selector"]);
                let wanted = condition["value"].as_str().expect("a text");
                let is_met = subject.as_str().expect("a text").contains(wanted);
                return if is_met { "true" } else { "false" };
            }
            "llm" => {
                self.set(id, "text", "Bonjour".into());
                // As Dify's LLM node gives it; prices are texts.
                let usage = json!({ "prompt_tokens": 1500, "completion_tokens": 800,
                    "total_tokens": 2300, "prompt_price": "0.0037500", "currency": "USD",
                    "latency": 1.2 });
                self.set(id, "usage", usage);
            }
            "answer" => {
                let text = self.filled(data["answer"].as_str().expect("a text"));
                self.answers.push(text);
            }
            other => panic!("a node of type {other}"),
        }
        "source"
    }

    async fn run_code(&mut self, id: &str, data: &Value) {
        assert_eq!(data["code_language"], "python3");
        let inputs: BTreeMap<&str, Value> = data["variables"]
            .as_array()
            .expect("variables")
            .iter()
            .map(|it| {
                let name = it["variable"].as_str().expect("a name");
                (name, self.selected(&it["value_selector"]).clone())
            })
            .collect();
        let code = data["code"].as_str().expect("code");
        let program =
            format!("{code}\nimport sys\nprint(json.dumps(main(**json.loads(sys.argv[1]))))");
        let inputs = serde_json::to_string(&inputs).expect("JSON");
        let run = spawn_blocking(move || {
            Command::new("python3")
                .args(["-c", &program, &inputs])
                .output()
        });
        let output = run.await.expect("no panic").expect("python3 runs");
        assert!(output.status.success(), "{output:?}");
        let results: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let outputs = data["outputs"].as_object().expect("outputs");
        assert!(
            results
                .as_object()
                .expect("a dict")
                .keys()
                .eq(outputs.keys())
        );
        for (name, value) in results.as_object().expect("a dict") {
            assert_eq!(outputs[name]["type"] == "string", value.is_string());
            self.set(id, name, value.clone());
        }
    }

    /// With retries enabled, every status that is no success fails the node.
    async fn send(&mut self, id: &str, data: &Value) {
        assert_eq!(data["retry_config"]["retry_enabled"], true);
        assert_eq!(data["body"]["type"], "raw-text");
        let url = self.filled(data["url"].as_str().expect("a URL"));
        let method = data["method"].as_str().expect("a method").to_uppercase();
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.world.client.request(method, url);
        for line in self
            .filled(data["headers"].as_str().expect("headers"))
            .lines()
        {
            let (name, value) = line.split_once(':').expect("a header");
            request = request.header(name.trim(), value.trim());
        }
        let body = &data["body"]["data"];
        assert_eq!(body.as_array().expect("a list").len(), 1);
        let body = self.filled(body[0]["value"].as_str().expect("a text"));
        let response = request.body(body).send().await.expect("an answer");
        let status = response.status();
        if !status.is_success() {
            self.failed = Some(status);
            return;
        }
        self.set(id, "status_code", status.as_u16().into());
        let body = response.text().await.expect("a body");
        self.set(id, "body", body.into());
    }

    fn set(&mut self, node: &str, name: &str, value: Value) {
        self.variables
            .insert((node.to_owned(), name.to_owned()), value);
    }

    fn variable(&self, node: &str, name: &str) -> &Value {
        let known = self.variables.get(&(node.to_owned(), name.to_owned()));
        known.unwrap_or_else(|| panic!("the variable {node}.{name}"))
    }

    fn selected(&self, selector: &Value) -> &Value {
        let part = |index: usize| selector[index].as_str().expect("a text");
        self.variable(part(0), part(1))
    }

    fn filled(&self, template: &str) -> String {
        let mut filled = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{#") {
            let (name, after) = after.split_once("#}}").expect("an end");
            let (node, name) = name.split_once('.').expect("a node");
            filled.push_str(before);
            filled.push_str(self.variable(node, name).as_str().expect("a text"));
            rest = after;
        }
        filled + rest
    }
}

/// A server with a webhook source and the workflow's environment for it.
struct Installed {
    world: World,
    webhook: ledger::CreatedKey,
}

impl Installed {
    async fn new(require_signature: bool) -> Self {
        let world = World::new().await;
        let new = NewSource {
            name: "workflow".to_owned(),
            entrance: SourceEntrance::Webhook,
            namespace: None,
            require_signature,
            settings: SourceSettings::default(),
            upstream_key: None,
        };
        let webhook = world.ledger().create_source(&new, &actor()).await;
        Self {
            webhook: webhook.expect("a source"),
            world,
        }
    }

    async fn run(&self, dsl: &str, user: &str) -> (Vec<String>, Vec<String>, Option<StatusCode>) {
        let dsl: Value = serde_saphyr::from_str(dsl).expect("YAML");
        assert_eq!(
            (&dsl["kind"], &dsl["version"], &dsl["app"]["mode"]),
            (&"app".into(), &"0.5.0".into(), &"advanced-chat".into())
        );
        let url = self.world.url("");
        let mut environment = vec![
            ("TOLLGATE_URL", url.as_str()),
            ("TOLLGATE_MODEL", "GPT-4"),
            ("TOLLGATE_POINTS_KEY", self.world.points_key.as_str()),
            ("TOLLGATE_WEBHOOK_KEY", self.webhook.key.as_str()),
            ("RECHARGE_URL", "https://shop.example"),
        ];
        if dsl.to_string().contains("TOLLGATE_SIGNING_SECRET") {
            environment.push(("TOLLGATE_SIGNING_SECRET", &self.webhook.signing_secret));
        }
        let run = Run::new(&self.world, &dsl["workflow"], user, &environment);
        let run = run.finish().await;
        (run.ran, run.answers, run.failed)
    }
}

#[tokio::test]
async fn the_workflows_charge_a_message_once() {
    for (dsl, is_signed) in [(PLAIN, false), (SIGNED, true)] {
        let installed = Installed::new(is_signed).await;
        let user = "o'brien \"the\" 用户";
        installed.world.grant(user, "1000").await;
        // Dify sends a report again when its first attempt times out.
        for _ in 0..2 {
            let (ran, answers, failed) = installed.run(dsl, user).await;
            assert_eq!(failed, None);
            assert_eq!(
                ran,
                [
                    "start", "question", "check", "enough", "llm", "answer", "report", "send"
                ]
            );
            assert_eq!(answers, ["Bonjour"]);
            assert_eq!(installed.world.balance(user).await, "907");
        }
        let outcomes = installed.world.deliveries(2).await;
        let outcomes = outcomes.iter().map(|event| event.outcome);
        assert!(outcomes.eq([Outcome::Charged, Outcome::Duplicate]));
        installed.world.verify().await;
    }
}

#[tokio::test]
async fn the_workflows_ask_a_user_without_points_to_recharge() {
    for dsl in [PLAIN, SIGNED] {
        let installed = Installed::new(false).await;
        let (ran, answers, failed) = installed.run(dsl, "u1").await;
        assert_eq!(failed, None);
        assert_eq!(ran, ["start", "question", "check", "enough", "short"]);
        for part in ["积分不足", "Not enough points", "https://shop.example"] {
            assert!(answers[0].contains(part), "{answers:?}");
        }
    }
}

#[tokio::test]
async fn a_workflow_that_tollgate_refuses_fails_instead_of_running_for_free() {
    // A source that requires signatures, and a workflow that does not sign.
    let installed = Installed::new(true).await;
    installed.world.grant("u1", "1000").await;
    let (ran, _, failed) = installed.run(PLAIN, "u1").await;
    assert_eq!(ran.last().map(String::as_str), Some("send"));
    assert_eq!(failed, Some(StatusCode::UNAUTHORIZED));
    assert_eq!(installed.world.balance("u1").await, "1000");

    // A key that was revoked ends the run before the model.
    let key = installed.world.ledger().api_keys().await.expect("keys");
    for key in key.iter().filter(|key| key.scope == Scope::Points.as_str()) {
        let revoked = installed
            .world
            .ledger()
            .revoke_api_key(key.id, &actor())
            .await;
        revoked.expect("revoked");
    }
    let (ran, answers, failed) = installed.run(SIGNED, "u1").await;
    assert_eq!(ran.last().map(String::as_str), Some("check"));
    assert_eq!((answers.len(), failed), (0, Some(StatusCode::UNAUTHORIZED)));
}
