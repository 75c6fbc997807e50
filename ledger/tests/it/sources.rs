//! Sources: who may send what, and what a call through one is expected to cost.

use ledger::{
    CallEstimate, CheckRefusal, EstimateRefusal, GatewayRefusal, NewSource, Scope, SourceRefusal,
    UnknownKey,
};
use shared::source::{SourceEntrance, SourceSettings};
use shared::tokens::Tokens;

use crate::{Books, actor, message, points, refusal, user};

fn gateway(name: &str) -> NewSource {
    NewSource {
        name: name.into(),
        entrance: SourceEntrance::Gateway,
        namespace: None,
        require_signature: false,
        settings: SourceSettings {
            upstream_url: Some("http://dify.test/v1".into()),
            ..SourceSettings::default()
        },
        upstream_key: Some("app-secret".into()),
    }
}

#[tokio::test]
async fn a_source_keeps_what_it_needs_to_call_the_server_behind_it() {
    let books = Books::open().await;
    let created = books
        .ledger
        .create_source(&gateway("bot"), &actor())
        .await
        .unwrap();
    assert!(created.key.starts_with("tg_gw_"), "{}", created.key);
    let source = books
        .ledger
        .authenticate_key(&created.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(source.scope, Scope::Entrance(SourceEntrance::Gateway));
    assert_eq!(source.upstream_key.as_deref(), Some("app-secret"));
    assert_eq!(source.settings, gateway("bot").settings);
    assert!(!format!("{source:?}").contains("app-secret"));
    let stored: String = sqlx::query_scalar("select k::text from api_key k where name = 'bot'")
        .fetch_one(&books.pool)
        .await
        .unwrap();
    assert!(!stored.contains("app-secret") && !stored.contains(&created.key));
    let log: String = sqlx::query_scalar("select string_agg(a::text, '') from audit_log a")
        .fetch_one(&books.pool)
        .await
        .unwrap();
    assert!(log.contains("key.create") && !log.contains("app-secret"));
}

#[tokio::test]
async fn a_source_with_a_server_behind_it_says_where_that_is() {
    let books = Books::open().await;
    let mut nowhere = gateway("bot");
    nowhere.settings.upstream_url = None;
    let mut keyless = gateway("bot");
    keyless.upstream_key = None;
    for (new, expected) in [
        (nowhere, SourceRefusal::NoUpstreamAddress),
        (keyless, SourceRefusal::NoUpstreamKey),
    ] {
        let refused = refusal(books.ledger.create_source(&new, &actor()).await);
        assert_eq!(refused, expected);
    }
    books
        .ledger
        .create_source(&gateway("bot"), &actor())
        .await
        .unwrap();
    let again = refusal(books.ledger.create_source(&gateway("bot"), &actor()).await);
    assert_eq!(again, SourceRefusal::NameTaken);
}

#[tokio::test]
async fn each_installation_has_messages_of_its_own() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let elsewhere = NewSource {
        entrance: SourceEntrance::Webhook,
        namespace: Some("elsewhere".into()),
        upstream_key: None,
        ..gateway("relay")
    };
    let created = books
        .ledger
        .create_source(&elsewhere, &actor())
        .await
        .unwrap();
    let source = books
        .ledger
        .authenticate_key(&created.key)
        .await
        .unwrap()
        .unwrap();
    for _ in 0..2 {
        let used = message("msg", "u", "m", Tokens::new(1000, 0));
        let here = books.delivery(used);
        let mut there = here.clone();
        there.source = source.clone();
        books.ledger.deliver(here).await.unwrap();
        books.ledger.deliver(there).await.unwrap();
    }
    assert_eq!(books.balance("u").await, points("-2"));
}

#[tokio::test]
async fn a_replaced_key_is_the_same_source_and_a_revoked_one_is_none() {
    let books = Books::open().await;
    let replica = books.replica().await;
    let created = books
        .ledger
        .create_source(&gateway("bot"), &actor())
        .await
        .unwrap();
    assert!(
        replica
            .authenticate_key(&created.key)
            .await
            .unwrap()
            .is_some()
    );
    let rotated = books
        .ledger
        .rotate_api_key(created.id, &actor())
        .await
        .unwrap();
    assert_eq!(rotated.id, created.id);
    assert!(
        books
            .ledger
            .authenticate_key(&created.key)
            .await
            .unwrap()
            .is_none()
    );
    let source = books
        .ledger
        .authenticate_key(&rotated.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (source.id, source.upstream_key.as_deref()),
        (created.id, Some("app-secret"))
    );
    books
        .ledger
        .revoke_api_key(created.id, &actor())
        .await
        .unwrap();
    assert!(
        books
            .ledger
            .authenticate_key(&rotated.key)
            .await
            .unwrap()
            .is_none()
    );
    let refused = books.ledger.rotate_api_key(created.id, &actor()).await;
    assert_eq!(refusal(refused), UnknownKey);
    let listed = books.ledger.sources().await.unwrap();
    let bot = listed.iter().find(|source| source.name == "bot").unwrap();
    assert!(bot.revoked_at.is_some());
    assert!(rotated.key.starts_with(&bot.prefix));
}

#[tokio::test]
async fn the_app_of_a_caller_who_names_none_is_the_only_one() {
    let books = Books::open().await;
    let none = books.ledger.gateway_source(None).await;
    assert_eq!(refusal(none), GatewayRefusal::Unknown);
    let one = books
        .ledger
        .create_source(&gateway("one"), &actor())
        .await
        .unwrap();
    assert_eq!(books.ledger.gateway_source(None).await.unwrap().id, one.id);
    let two = books
        .ledger
        .create_source(&gateway("two"), &actor())
        .await
        .unwrap();
    let several = books.ledger.gateway_source(None).await;
    assert_eq!(refusal(several), GatewayRefusal::NoneNamed);
    assert_eq!(
        books.ledger.gateway_source(Some("two")).await.unwrap().id,
        two.id
    );
}

#[tokio::test]
async fn a_call_of_unknown_cost_is_estimated_from_what_there_is() {
    let books = Books::open().await;
    let source = &books.key;
    let call = CallEstimate::default();
    let unpriced = books.ledger.check_call(&user("u"), source, &call).await;
    assert_eq!(
        refusal(unpriced),
        CheckRefusal::Estimate(EstimateRefusal::NothingPriced)
    );
    books.set_price("cheap", "1", "1").await;
    books.set_price("dear", "10", "10").await;
    books.grant("u", "5").await;
    let estimated = async |call: &CallEstimate| {
        let user = user("u");
        let check = books.ledger.check_call(&user, source, call).await;
        let check = check.unwrap();
        (check.estimated_points, check.can_proceed)
    };
    // Nothing is known: the dearest model decides.
    let (dearest, can_proceed) = estimated(&call).await;
    assert!(dearest > points("5") && !can_proceed, "{dearest}");
    // What the call says counts.
    let told = CallEstimate {
        model_name: Some("cheap".parse().unwrap()),
        input_tokens: Some(1000),
        output_tokens: Some(2000),
        asked_tokens: 0,
        hold_seconds: None,
    };
    assert_eq!(estimated(&told).await, (points("3"), true));
    // Then what messages of this source cost.
    for (id, tokens) in [("a", 1000), ("b", 2000)] {
        let used = message(id, "u", "cheap", Tokens::new(tokens, 0));
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    assert_eq!(estimated(&call).await, (points("1.5"), true));
}
