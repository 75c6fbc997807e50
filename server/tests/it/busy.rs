//! When the ledger cannot take more: 503, when to come again, and nothing recorded.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use private_postgres::{Cluster, Durability};
use reqwest::Method;
use sqlx::{Connection, PgConnection};
use testkit::{Answer, World, answer, event, folder};

use crate::SAMPLE;

#[track_caller]
fn is_told_to_come_again(answer: &Answer) {
    assert_eq!(answer.refusal(), (503, "busy", None));
    let seconds = answer.headers["retry-after"].to_str().expect("text");
    assert!(seconds.parse::<u32>().expect("seconds") > 0);
}

#[tokio::test]
async fn a_full_queue_sends_the_next_one_away_and_loses_nothing() {
    let world = World::with(|config| config.queue_messages = 1).await;
    // While prices are locked no message is charged: of many, some are at work, one waits, and the
    // rest are too many.
    let mut connection = PgConnection::connect(&world.database_url)
        .await
        .expect("a connection");
    let mut prices = connection.begin().await.expect("a transaction");
    sqlx::query("select pg_advisory_xact_lock(128021909209090)")
        .execute(&mut *prices)
        .await
        .expect("the lock");
    let mut answers: FuturesUnordered<_> = (0..10)
        .map(|number| {
            let deliver = world.deliver(event(&format!("m{number}"), "u1", "gpt-4", 1000, 0));
            async move { (number, deliver.await) }
        })
        .collect();
    let first = answers.next().await.expect("an answer");
    is_told_to_come_again(&first.1);
    prices.rollback().await.expect("unlocked");
    let mut refused = vec![first.0];
    while let Some((number, answer)) = answers.next().await {
        if answer.status == 503 {
            is_told_to_come_again(&answer);
            refused.push(number);
        } else {
            assert_eq!(answer.data()["status"], "charged");
        }
    }
    // They come again, as they were told, and were not charged before.
    for number in refused {
        let again = event(&format!("m{number}"), "u1", "gpt-4", 1000, 0);
        assert_eq!(world.deliver(again).await.data()["status"], "charged");
    }
    assert_eq!(world.balance("u1").await, "-300");
    world.deliveries(10).await;
    world.verify().await;
}

#[tokio::test]
async fn without_postgres_everybody_is_told_to_come_again() {
    let data_dir = folder("away");
    let cluster = Cluster::start_with(&data_dir, Durability::Disposable)
        .await
        .expect("a cluster");
    cluster.create_database("away").await.expect("a database");
    let socket = cluster.socket_folder().display().to_string();
    let url = format!("postgres:///away?user=tollgate&host={socket}");
    let world = World::with(|config| config.database_url = Some(url)).await;
    world.deliver(SAMPLE).await.data();
    let files = cluster.folder().to_owned();
    cluster.leave().await;

    is_told_to_come_again(&world.deliver(SAMPLE).await);
    is_told_to_come_again(&world.get("/api/user/points/balance?userId=user_789").await);
    let credits = world
        .request(Method::GET, "/api/admin/credits?userId=user_789")
        .bearer_auth(&world.admin_key);
    is_told_to_come_again(&answer(credits).await);
    let ready = answer(world.request(Method::GET, "/readyz")).await;
    assert_eq!(ready.status, 503);
    let alive = answer(world.request(Method::GET, "/healthz")).await;
    assert_eq!(alive.status, 200);
    drop(world);
    std::fs::remove_dir_all(files).expect("removed");
    drop(std::fs::remove_dir_all(data_dir));
}
