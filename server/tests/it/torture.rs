//! Invariants 1 and 2 under violence: while clients charge, hold and settle, processes are killed in
//! the middle of whatever they do. A client notes what was acknowledged and tries the rest again; in
//! the end every message is charged exactly once, with the right amount.
//!
//! `make torture` runs the same for longer. Its seed decides what clients ask and who is killed when;
//! what these processes are doing at that moment is up to the machine.

use std::collections::{BTreeMap, HashMap};
use std::env::var;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use ledger::{Ledger, SealingKey, Settings};
use private_postgres::Cluster;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use shared::api::{EntryKind, HistoryFilter, PAGE_ITEMS_MAX};
use testkit::{client, event, folder};
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};

use crate::crash::{Installation, Running, kill};

const CLIENTS: u64 = 8;
const USERS: u64 = 5;
const KILLS: usize = 20;
/// Nobody dies before this many acknowledgements since the last death: each has something to spoil.
const ACKNOWLEDGED_BETWEEN_KILLS: u64 = 10;
/// Longer than any recovery takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The price of the model: nanopoints per token.
const INPUT_NANO: u64 = 30_000_000;
const OUTPUT_NANO: u64 = 60_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Server,
    /// The process that all others of Postgres come from.
    Postmaster,
    /// The process of one connection.
    Backend,
}

/// What a client was told of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Acknowledged {
    user: String,
    nano: u64,
    consumption_id: String,
}

struct Scene {
    http: Client,
    url: RwLock<String>,
    webhook_key: String,
    points_key: String,
    acknowledged: Mutex<HashMap<String, Acknowledged>>,
    count: AtomicU64,
    counted: Notify,
    is_over: AtomicBool,
}

impl Scene {
    /// Asks until there is an answer. "Busy" and a broken connection are none.
    async fn ask(&self, key: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let url = self.url.read().expect("a url").clone();
            let request = self.http.post(format!("{url}{path}")).bearer_auth(key);
            if let Ok(response) = request.body(body.to_owned()).send().await {
                let status = response.status();
                // Cut off in the middle, an answer is none either.
                if !status.is_server_error()
                    && let Ok(answer) = response.json().await
                {
                    return (status, answer);
                }
            }
            assert!(Instant::now() < deadline, "nobody answers {path}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The data of an answer that must be a success.
    async fn succeed(&self, key: &str, path: &str, body: &str) -> Value {
        let (status, mut answer) = self.ask(key, path, body).await;
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer["data"].take()
    }

    /// Notes that a message was charged, now or by an earlier attempt.
    fn note(&self, message: &str, user: &str, nano: u64, told: &Value) {
        let status = told["status"].as_str().expect("a status");
        assert!(["charged", "duplicate"].contains(&status), "{told}");
        let told_nano = told["pointsDeductedNano"].as_str().expect("nanopoints");
        assert_eq!(told_nano, nano.to_string(), "{told}");
        let told = Acknowledged {
            user: user.to_owned(),
            nano,
            consumption_id: told["consumptionId"].as_str().expect("an id").to_owned(),
        };
        let mut acknowledged = self.acknowledged.lock().expect("a list");
        if let Some(before) = acknowledged.insert(message.to_owned(), told.clone()) {
            assert_eq!(before, told, "{message} is told otherwise than before");
        }
        drop(acknowledged);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.counted.notify_waiters();
    }

    async fn progress(&self) {
        let until = self.count.load(Ordering::Relaxed) + ACKNOWLEDGED_BETWEEN_KILLS;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counted = self.counted.notified();
            if self.count.load(Ordering::Relaxed) >= until {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let counted = tokio::time::timeout(left, counted).await;
            counted.expect("the clients go on");
        }
    }

    /// One client: one request after the other, each until it is answered.
    async fn demand(self: Arc<Self>, client: u64, seed: u64) {
        let mut chance = Rng::with_seed(seed ^ (client + 1).wrapping_mul(0x1000_0000_01b3));
        let mut sent: Vec<(String, String, u64, String)> = Vec::new();
        let mut number = 0_u64;
        while !self.is_over.load(Ordering::Relaxed) {
            number += 1;
            let message = format!("m{client}-{number}");
            let user = format!("u{}", chance.u64(..USERS));
            let (input, output) = (chance.u64(..2000), chance.u64(..1000));
            let nano = input * INPUT_NANO + output * OUTPUT_NANO;
            match chance.u64(..10) {
                0..=5 => {
                    let body = event(&message, &user, "gpt-4", input, output);
                    let told = self.deliver(&body).await;
                    self.note(&message, &user, nano, &told);
                    sent.push((message, user, nano, body));
                }
                6 | 7 if !sent.is_empty() => {
                    let index = chance.usize(..sent.len());
                    let (message, user, nano, body) = &sent[index];
                    let told = self.deliver(body).await;
                    assert_eq!(told["status"], "duplicate", "{told}");
                    self.note(message, user, *nano, &told);
                }
                _ => {
                    let hold = self.hold(&user).await;
                    match chance.u64(..10) {
                        0 => {}
                        1 | 2 => {
                            let path = format!("/api/user/points/holds/{hold}/release");
                            let body = json!({ "userId": user }).to_string();
                            self.succeed(&self.points_key, &path, &body).await;
                        }
                        _ => {
                            let path = format!("/api/user/points/holds/{hold}/settle");
                            let body = json!({ "userId": user, "inputTokens": input,
                                "outputTokens": output, "messageId": message });
                            let body = body.to_string();
                            let told = self.succeed(&self.points_key, &path, &body).await;
                            self.note(&message, &user, nano, &told);
                        }
                    }
                }
            }
        }
    }

    async fn deliver(&self, body: &str) -> Value {
        self.succeed(&self.webhook_key, "/api/dify/webhook", body)
            .await
    }

    /// One that was granted, but of which nobody was told, runs out.
    async fn hold(&self, user: &str) -> String {
        let check = json!({ "modelName": "gpt-4", "userId": user, "hold": true, "holdSeconds": 3600,
            "estimatedInputTokens": 100, "estimatedOutputTokens": 50 });
        let path = "/api/user/points/check-balance";
        let told = self
            .succeed(&self.points_key, path, &check.to_string())
            .await;
        told["holdId"]
            .as_str()
            .unwrap_or_else(|| panic!("{told}"))
            .to_owned()
    }
}

/// One of the processes that serve a connection of Tollgate, by a number at random.
fn backend(postmaster: &str, number: u64) -> Option<String> {
    let mut backends: Vec<u32> = fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            // The name in parentheses, the state, the parent.
            let parent = read("stat").rsplit(") ").next().map(str::to_owned);
            let parent = parent.and_then(|rest| Some(rest.split(' ').nth(1)?.to_owned()));
            parent.as_deref() == Some(postmaster) && read("cmdline").contains("[local]")
        })
        .collect();
    backends.sort_unstable();
    let count = u64::try_from(backends.len()).expect("few");
    let chosen = usize::try_from(number.checked_rem(count)?).expect("few");
    backends.get(chosen).map(u32::to_string)
}

/// Everything that runs, and can be killed.
struct Stage {
    installation: Arc<Installation>,
    server: Option<Running>,
    scene: Arc<Scene>,
}

impl Stage {
    /// The postmaster, or what is found under it. Waits for the next one where the last was killed:
    /// connections outlive it for a while, and messages are acknowledged through them meanwhile.
    async fn under_postmaster(&self, find: impl Fn(String) -> Option<String>) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.installation.postmaster().and_then(&find) {
                return found;
            }
            assert!(Instant::now() < deadline, "nothing to kill");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn kill(&mut self, victim: Victim, chance: &mut Rng) {
        match victim {
            Victim::Server => {
                drop(self.server.take());
                let installation = Arc::clone(&self.installation);
                let server = spawn_blocking(move || installation.serve()).await;
                let server = server.expect("a server");
                server
                    .url
                    .clone_into(&mut self.scene.url.write().expect("a url"));
                self.server = Some(server);
            }
            Victim::Postmaster => {
                kill(&self.under_postmaster(Some).await);
            }
            Victim::Backend => {
                let number = chance.u64(..u64::MAX);
                kill(&self.under_postmaster(|it| backend(&it, number)).await);
            }
        }
    }
}

/// When it is over.
enum End {
    After(usize),
    At(Instant),
}

#[expect(
    clippy::print_stdout,
    reason = "the seed is wanted when it fails, and the toll when it is long"
)]
async fn torture(name: &str, seed: u64, victims: &[Victim], end: End) {
    println!("torture of {victims:?} with seed {seed}");
    let installation = Arc::new(Installation {
        data_dir: folder(name),
    });
    // As a user of the cluster, so that Postgres does not stop whenever the server is killed.
    let cluster = Cluster::start(&installation.data_dir)
        .await
        .expect("a cluster");
    let (webhook_key, points_key) = prepare(&installation);
    let server = installation.serve();
    let scene = Arc::new(Scene {
        http: client(),
        url: RwLock::new(server.url.clone()),
        webhook_key,
        points_key,
        acknowledged: Mutex::default(),
        count: AtomicU64::new(0),
        counted: Notify::new(),
        is_over: AtomicBool::new(false),
    });
    let mut stage = Stage {
        installation: Arc::clone(&installation),
        server: Some(server),
        scene: Arc::clone(&scene),
    };
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(Arc::clone(&scene).demand(number, seed));
    }
    let mut chance = Rng::with_seed(seed);
    let mut killed: BTreeMap<Victim, usize> = BTreeMap::new();
    let is_over = |killed: &BTreeMap<Victim, usize>| match end {
        End::After(kills) => killed.values().sum::<usize>() >= kills,
        End::At(moment) => Instant::now() > moment,
    };
    while !is_over(&killed) {
        let victim = victims[chance.usize(..victims.len())];
        let delay = Duration::from_millis(chance.u64(..150));
        tokio::select! {
            () = scene.progress() => {}
            Some(ended) = clients.join_next() => {
                ended.expect("a client that is content");
                unreachable!("clients go on until it is over");
            }
        }
        tokio::time::sleep(delay).await;
        stage.kill(victim, &mut chance).await;
        *killed.entry(victim).or_default() += 1;
    }
    scene.progress().await;
    scene.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client that is content");
    }
    drop(stage);
    let acknowledged = scene.acknowledged.lock().expect("a list").clone();
    println!(
        "killed {killed:?}; {} messages acknowledged",
        acknowledged.len()
    );
    assert_charged(&cluster, &acknowledged).await;
    let verified = installation.run(&["verify", "--json"]);
    assert!(verified.contains("\"ok\":true"), "{verified}");
    cluster.leave().await;
}

/// A price, keys for both entrances, and points for everybody.
fn prepare(installation: &Installation) -> (String, String) {
    installation.run(&["migrate"]);
    installation.run(&[
        "price", "set", "--model", "gpt-4", "--input", "30", "--output", "60",
    ]);
    for user in 0..USERS {
        let user = format!("u{user}");
        installation.run(&[
            "points",
            "add",
            "--user",
            &user,
            "--points",
            "1000000000",
            "--reason",
            "test",
        ]);
    }
    let key = |scope: &str| {
        let created =
            installation.run(&["key", "create", "--name", scope, "--scope", scope, "--json"]);
        let created: Value = serde_json::from_str(&created).expect("JSON");
        created["key"].as_str().expect("a key").to_owned()
    };
    (key("webhook"), key("points"))
}

/// The books hold exactly what was acknowledged.
async fn assert_charged(cluster: &Cluster, acknowledged: &HashMap<String, Acknowledged>) {
    let sealing = SealingKey::from_bytes([7; 32]);
    let ledger = Ledger::connect(cluster.options(), sealing, Settings::default()).await;
    let ledger = ledger.expect("a ledger");
    let filter = HistoryFilter {
        kind: Some(EntryKind::Charge),
        ..HistoryFilter::default()
    };
    let mut charged = HashMap::new();
    for number in 0..USERS {
        let user = format!("u{number}");
        let user_id = user.parse().expect("a user");
        let mut cursor = None;
        loop {
            let page = ledger
                .history(&user_id, &filter, cursor.as_deref(), PAGE_ITEMS_MAX)
                .await
                .expect("a page");
            for item in page.items {
                let used = item.consumption.expect("a consumption");
                let charge = Acknowledged {
                    user: user.clone(),
                    nano: item.points.nano().unsigned_abs(),
                    consumption_id: used.consumption_id,
                };
                let twice = charged.insert(used.message_id.clone(), charge);
                assert_eq!(twice, None, "{} was charged twice", used.message_id);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    for (message, told) in acknowledged {
        assert_eq!(charged.get(message), Some(told), "{message}");
    }
    assert_eq!(
        charged.len(),
        acknowledged.len(),
        "something else was charged"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_server_dies_of_every_message_is_charged_once() {
    torture("torture-server", 1, &[Victim::Server], End::After(KILLS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_postgres_dies_of_every_message_is_charged_once() {
    let victims = [Victim::Postmaster, Victim::Backend];
    torture("torture-postgres", 2, &victims, End::After(KILLS)).await;
}

/// What `make torture` runs: everybody dies, for as many minutes as it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_as_long_as_it_is_told() {
    let Ok(minutes) = var("TORTURE_MINUTES") else {
        return;
    };
    let seed = var("TORTURE_SEED")
        .expect("a seed")
        .parse()
        .expect("a number");
    let seconds = minutes.parse::<u64>().expect("minutes") * 60;
    let end = End::At(Instant::now() + Duration::from_secs(seconds));
    let victims = [Victim::Server, Victim::Postmaster, Victim::Backend];
    torture("torture", seed, &victims, end).await;
}
