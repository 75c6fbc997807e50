//! API keys: shown once, hashed, sealed, revocable everywhere.

use std::time::Duration;

use ledger::{Ledger, Scope, UnknownKey};
use shared::source::SourceEntrance;
use shared::tokens::Tokens;
use sqlx::Row;
use tokio::sync::watch;

use crate::{Books, actor, message, refusal};

#[tokio::test]
async fn a_key_authenticates_and_only_its_hash_is_stored() {
    let books = Books::open().await;
    let created = books
        .ledger
        .create_api_key("relay", Scope::Points, true, &actor())
        .await
        .unwrap();
    let key = books
        .ledger
        .authenticate_key(&created.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (key.id, key.scope, key.require_signature),
        (created.id, Scope::Points, true)
    );
    assert!(
        books
            .ledger
            .authenticate_key("tg_pt_wrong")
            .await
            .unwrap()
            .is_none()
    );
    assert!(!format!("{key:?}").contains(&created.key));

    let row = sqlx::query("select * from api_key where api_key_id = $1")
        .bind(created.id)
        .fetch_one(&books.pool)
        .await
        .unwrap();
    let stored: Vec<u8> = [
        row.get::<Vec<u8>, _>("key_hash"),
        row.get("signing_secret_sealed"),
    ]
    .concat();
    let contains = |needle: &[u8]| stored.windows(needle.len()).any(|window| window == needle);
    assert!(!contains(created.key.as_bytes()));
    assert!(!contains(&key.signing_secret));
}

#[tokio::test]
async fn a_revoked_key_ends_in_every_process() {
    let books = Books::open().await;
    let replica = books.replica().await;
    let created = books
        .ledger
        .create_api_key(
            "relay",
            Scope::Entrance(SourceEntrance::Webhook),
            false,
            &actor(),
        )
        .await
        .unwrap();
    let accepts = async |ledger: &Ledger| {
        let key = ledger.authenticate_key(&created.key).await.unwrap();
        key.is_some()
    };
    let mut heard = replica.live_signal();
    // A replica that hears of deliveries trusts the keys that it remembers.
    deliver(&books, "m-1").await;
    hear(&mut heard).await;
    assert!(accepts(&replica).await);

    books
        .ledger
        .revoke_api_key(created.id, &actor())
        .await
        .unwrap();
    assert!(!accepts(&books.ledger).await);
    // Postgres tells of things in the order of their commits: first of the key, then of this.
    deliver(&books, "m-2").await;
    while accepts(&replica).await {
        hear(&mut heard).await;
    }
    let again = books.ledger.revoke_api_key(created.id, &actor()).await;
    assert_eq!(refusal(again), UnknownKey);
}

async fn deliver(books: &Books, id: &str) {
    let message = message(id, "ada", "gpt", Tokens::new(1, 1));
    books.ledger.deliver(books.delivery(message)).await.unwrap();
}

async fn hear(signal: &mut watch::Receiver<()>) {
    let heard = tokio::time::timeout(Duration::from_secs(30), signal.changed());
    heard.await.unwrap().unwrap();
}
