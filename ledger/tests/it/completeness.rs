//! Charging what Dify served and nobody reported.

use std::sync::Arc;

use ledger::{ApiKey, Error, NewSource, OperationError, ReviewedCharge};
use shared::api::{Outcome, ServedMessage};
use shared::source::{SourceEntrance, SourceSettings};

use super::{Books, actor, points, user};

const MODEL: &str = "gpt-4";

/// 60 points.
fn message(id: &str, name: &str) -> ServedMessage {
    ServedMessage {
        message_id: id.to_owned(),
        user_id: user(name),
        conversation_id: None,
        occurred_at: "2024-01-15T10:30:00Z".parse().unwrap(),
        input_tokens: Some(1000),
        output_tokens: Some(500),
    }
}

/// A source in front of an app, and what that app says it served.
async fn served(books: &Books, messages: &[(&str, &str)]) -> Arc<ApiKey> {
    let source = NewSource {
        name: "shop".to_owned(),
        entrance: SourceEntrance::Gateway,
        namespace: None,
        require_signature: false,
        settings: SourceSettings {
            upstream_url: Some("https://dify.example.com/v1".to_owned()),
            model_name: Some(MODEL.parse().unwrap()),
            ..SourceSettings::default()
        },
        upstream_key: Some("app-secret".to_owned()),
    };
    books.ledger.create_source(&source, &actor()).await.unwrap();
    let source = books.ledger.gateway_source(Some("shop")).await.unwrap();
    let served = messages.iter().map(|(id, name)| message(id, name));
    let served: Vec<_> = served.collect();
    books.ledger.compare_served(&source, &served).await.unwrap();
    source
}

/// Charges everything that is missing. By message.
async fn review(books: &Books, source: &Arc<ApiKey>) -> Vec<ReviewedCharge> {
    let actor = actor();
    let reviewed = books.ledger.charge_missing(source, None, None, &actor);
    let mut reviewed = reviewed.await.unwrap();
    reviewed.sort_by(|one, other| one.message_id.cmp(&other.message_id));
    reviewed
}

fn outcomes(reviewed: &[ReviewedCharge]) -> Vec<Option<Outcome>> {
    let answers = reviewed.iter().map(|message| message.charged.as_ref());
    answers.map(|answer| Some(answer.ok()?.status)).collect()
}

/// The messages of the reviews in the audit log.
async fn audited(books: &Books) -> Vec<String> {
    let log = books.ledger.audit_log(None, 100).await.unwrap().items;
    let mut subjects: Vec<_> = log
        .into_iter()
        .filter(|entry| entry.action == "completeness.charge")
        .map(|entry| entry.subject)
        .collect();
    subjects.sort_unstable();
    subjects
}

#[tokio::test]
async fn a_review_is_audited_in_the_transactions_of_what_it_changes() {
    let books = Books::open().await;
    let source = served(&books, &[("m1", "ann"), ("m2", "bob"), ("m3", "ann")]).await;
    // No price yet: they wait in quarantine, which is a change, too.
    let waiting = review(&books, &source).await;
    assert_eq!(outcomes(&waiting), [Some(Outcome::Quarantined); 3]);
    assert_eq!(audited(&books).await, ["m1", "m2", "m3"]);
    books.set_price(MODEL, "30", "60").await;
    assert_eq!(books.balance("ann").await, points("-120"));

    let more = [message("m4", "ann"), message("m5", "bob")];
    books.ledger.compare_served(&source, &more).await.unwrap();
    let charged = review(&books, &source).await;
    assert_eq!(outcomes(&charged), [Some(Outcome::Charged); 2]);
    let share = books.ledger.completeness_shares().await.unwrap()[&source.id];
    assert_eq!((share.served, share.missing), (2, 0), "{share:?}");
    let log = books.ledger.audit_log(None, 1).await.unwrap().items;
    let after = log[0].after.as_ref().unwrap();
    assert_eq!(after["calls"][0]["tokens"]["input"], 1000, "{after}");
    assert_eq!(log[0].actor, "tester");
    // The database's word for it: one transaction has written both rows.
    let together: Vec<String> = sqlx::query_scalar(
        "select subject from audit_log a
         join journal_entry j on j.message_id = a.subject and j.xmin = a.xmin
         where action = 'completeness.charge' order by subject",
    )
    .fetch_all(&books.pool)
    .await
    .unwrap();
    assert_eq!(together, ["m4", "m5"]);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_review_that_was_interrupted_is_done_again_and_charges_once() {
    let books = Books::open().await;
    books.set_price(MODEL, "30", "60").await;
    let source = served(&books, &[("m1", "ann"), ("m2", "bob")]).await;
    sqlx::raw_sql(
        "create function interrupt() returns trigger language plpgsql as
             $$ begin raise exception 'no audit, no charge'; end $$;
         create trigger interrupt before insert on audit_log
             for each row when (new.subject = 'm2') execute function interrupt();",
    )
    .execute(&books.pool)
    .await
    .unwrap();
    let interrupted = review(&books, &source).await;
    assert_eq!(outcomes(&interrupted), [Some(Outcome::Charged), None]);
    assert!(matches!(
        interrupted[1].charged,
        Err(OperationError::Failed(Error::Database(_)))
    ));
    assert_eq!(audited(&books).await, ["m1"]);
    let share = books.ledger.completeness_shares().await.unwrap()[&source.id];
    assert_eq!((share.served, share.arrived, share.missing), (2, 0, 1));
    assert_eq!(books.balance("bob").await, points("0"));

    sqlx::query("drop trigger interrupt on audit_log")
        .execute(&books.pool)
        .await
        .unwrap();
    let again = review(&books, &source).await;
    assert_eq!(outcomes(&again), [Some(Outcome::Charged)]);
    assert_eq!(again[0].message_id, "m2");
    assert_eq!(audited(&books).await, ["m1", "m2"]);
    assert_eq!(books.balance("ann").await, points("-60"));
    assert_eq!(books.balance("bob").await, points("-60"));
    assert!(review(&books, &source).await.is_empty());
    books.assert_verified().await;
}
