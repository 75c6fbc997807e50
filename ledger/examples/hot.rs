#![allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::allow_attributes
)]
use ledger::cluster::{Cluster, Durability};
use ledger::*;
use shared::clock::Timestamp;
use shared::dify::{MessageUsage, ModelCall};
use shared::tokens::Tokens;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn cpu(name: &str) -> f64 {
    let mut t = 0.0;
    for e in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(s) = std::fs::read_to_string(e.path().join("stat")) {
            if let Some(i) = s.rfind(')') {
                if s[..i].contains(name) {
                    let f: Vec<&str> = s[i + 2..].split(' ').collect();
                    t += f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap();
                }
            }
        }
    }
    t / 100.0
}

#[tokio::main]
async fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .map(|a| a.parse().unwrap())
        .collect();
    let (accounts, conc, secs) = (args[0], args[1], args[2]);
    let cluster = Cluster::start_with(std::path::Path::new("/tmp/hotdata"), Durability::Full)
        .await
        .unwrap();
    let options = cluster
        .create_database(&format!("hot_{}", std::process::id()))
        .await
        .unwrap();
    let ledger = Ledger::connect(
        options.clone(),
        SealingKey::from_bytes([1; 32]),
        Settings::default(),
    )
    .await
    .unwrap();
    ledger.migrate().await.unwrap();
    let actor = Actor {
        name: "a".into(),
        origin: "b".into(),
    };
    let created = ledger
        .create_api_key("test", Scope::Webhook, false, &actor)
        .await
        .unwrap();
    let key = ledger
        .authenticate_key(&created.key)
        .await
        .unwrap()
        .unwrap();
    ledger
        .publish_price(
            NewPrice {
                model_name: "gpt-4".parse().unwrap(),
                rates: shared::price::Rates {
                    input: "30".parse().unwrap(),
                    output: "60".parse().unwrap(),
                    cached_input: None,
                    cache_write: None,
                    reasoning: None,
                    per_request: shared::money::Points::ZERO,
                },
                is_active: true,
                effective_from: None,
                note: None,
                expected_version: None,
            },
            &actor,
        )
        .await
        .unwrap();
    let users: Vec<shared::ids::UserId> = (0..accounts)
        .map(|n| format!("user-{n}").parse().unwrap())
        .collect();
    let mut set = tokio::task::JoinSet::new();
    for u in users.clone() {
        let (l, a) = (ledger.clone(), actor.clone());
        set.spawn(async move {
            l.add_points(&u, "1000000".parse().unwrap(), "x", &a)
                .await
                .unwrap();
        });
        if set.len() > 3 {
            set.join_next().await;
        }
    }
    while set.join_next().await.is_some() {}
    for round in 0..3 {
        let n = Arc::new(AtomicU64::new(0));
        let (pg0, me0) = (cpu("postgres"), cpu("hot"));
        let t0 = Instant::now();
        let mut set = tokio::task::JoinSet::new();
        for c in 0..conc {
            let (l, key, users, n) = (ledger.clone(), key.clone(), users.clone(), n.clone());
            set.spawn(async move {
                let mut i = 0u64;
                let mut x = c.wrapping_mul(0x9E3779B97F4A7C15) ^ 88172645463325252;
                while t0.elapsed() < Duration::from_secs(secs) {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    let m = MessageUsage {
                        message_id: format!("m-{round}-{c}-{i}"),
                        user_id: users[(x % users.len() as u64) as usize].clone(),
                        conversation_id: Some("conv-1".into()),
                        request_id: Some("req-1".into()),
                        occurred_at: None,
                        calls: vec![ModelCall {
                            model_name: "gpt-4".parse().unwrap(),
                            tokens: Tokens::new(1500, 800),
                        }],
                        reported_total: Some(2300),
                        has_answer: true,
                    };
                    l.deliver(Delivery::new(
                        key.clone(),
                        Entrance::Webhook,
                        m,
                        vec![b'x'; 400],
                        Timestamp::new(time::OffsetDateTime::now_utc()),
                    ))
                    .await
                    .unwrap();
                    i += 1;
                    n.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while set.join_next().await.is_some() {}
        let e = t0.elapsed().as_secs_f64();
        let n = n.load(Ordering::Relaxed) as f64;
        println!(
            "conc {conc}: {:.0}/s, lat {:.2} ms, pg cpu {:.0} us/charge, own cpu {:.0} us/charge",
            n / e,
            e * 1000.0 * conc as f64 / n,
            (cpu("postgres") - pg0) * 1e6 / n,
            (cpu("hot") - me0) * 1e6 / n
        );
    }
    let t = Instant::now();
    let r = ledger.verify(None).await.unwrap();
    println!(
        "verify ok={} entries={} in {:?}",
        r.ok,
        r.entries,
        t.elapsed()
    );
    drop(ledger);
    cluster.leave().await;
}
