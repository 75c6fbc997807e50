//! API keys: shown once, hashed, sealed, revocable everywhere.

use ledger::Scope;
use shared::problem::Problem;
use sqlx::Row;

use crate::{Books, actor, problem};

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
        .create_api_key("relay", Scope::Webhook, false, &actor())
        .await
        .unwrap();
    assert!(
        replica
            .authenticate_key(&created.key)
            .await
            .unwrap()
            .is_some()
    );
    let mut heard = replica.live_signal();
    heard.mark_unchanged();
    books
        .ledger
        .revoke_api_key(created.id, &actor())
        .await
        .unwrap();
    assert!(
        books
            .ledger
            .authenticate_key(&created.key)
            .await
            .unwrap()
            .is_none()
    );
    while replica
        .authenticate_key(&created.key)
        .await
        .unwrap()
        .is_some()
    {
        tokio::time::timeout(std::time::Duration::from_secs(30), heard.changed())
            .await
            .unwrap()
            .unwrap();
    }
    let again = books.ledger.revoke_api_key(created.id, &actor()).await;
    assert_eq!(problem(again), Problem::NotFound);
}
