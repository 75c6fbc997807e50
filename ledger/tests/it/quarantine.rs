//! Invariant 3: what cannot be charged waits, and an administrator can end the wait.

use ledger::Entrance;
use shared::api::{Outcome, QuarantineReason};
use shared::dify::MessageUsage;
use shared::problem::{FieldFault, Problem};
use shared::tokens::Tokens;
use uuid::Uuid;

use crate::{Books, actor, message, now, points, problem, sample};

async fn only_waiting(books: &Books) -> shared::api::QuarantineItem {
    let mut items = books.ledger.quarantine(None, 10).await.unwrap().items;
    assert_eq!(items.len(), 1, "{items:?}");
    items.remove(0)
}

fn id_of(item: &shared::api::QuarantineItem) -> Uuid {
    item.id.parse().unwrap()
}

#[tokio::test]
async fn doubtful_reports_wait_with_their_reason() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let contradictory = MessageUsage {
        reported_total: Some(1),
        ..sample()
    };
    let zero = MessageUsage {
        has_answer: true,
        ..message("zero", "u", "gpt-4", Tokens::default())
    };
    let huge = message("huge", "u", "gpt-4", Tokens::new(20_000_001, 0));
    for (doubtful, reason) in [
        (contradictory, QuarantineReason::ContradictoryTokens),
        (zero, QuarantineReason::ZeroUsage),
        (huge, QuarantineReason::TooManyTokens),
    ] {
        let answer = books
            .ledger
            .deliver(books.delivery(doubtful))
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.reason),
            (Outcome::Quarantined, Some(reason))
        );
    }
    // A new price does not charge what waits for another reason.
    books.set_price("gpt-4", "1", "1").await;
    assert_eq!(
        books.ledger.quarantine(None, 10).await.unwrap().items.len(),
        3
    );
}

#[tokio::test]
async fn no_tokens_and_no_answer_is_a_free_message() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let nothing = message("nothing", "u", "gpt-4", Tokens::default());
    let answer = books.ledger.deliver(books.delivery(nothing)).await.unwrap();
    assert_eq!(
        (answer.status, answer.points_deducted),
        (Outcome::Charged, points("0"))
    );
    books.assert_verified().await;
}

#[tokio::test]
async fn a_waiting_message_is_charged_as_reported_or_as_corrected_once() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let lying = MessageUsage {
        reported_total: Some(1),
        ..sample()
    };
    books.ledger.deliver(books.delivery(lying)).await.unwrap();
    let item = only_waiting(&books).await;
    let other = message("msg_457", "user_789", "gpt-4", Tokens::new(1000, 0));
    let refused = books
        .ledger
        .charge_quarantined(id_of(&item), Some(other), &actor())
        .await;
    assert!(
        matches!(problem(refused), Problem::InvalidField { field, .. } if field == "message_id"),
        "another message's numbers"
    );
    let corrected = message("msg_456", "user_789", "gpt-4", Tokens::new(1000, 0));
    let answer = books
        .ledger
        .charge_quarantined(id_of(&item), Some(corrected), &actor())
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.points_deducted),
        (Outcome::Charged, points("30"))
    );
    assert!(
        books
            .ledger
            .quarantine(None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let again = books
        .ledger
        .charge_quarantined(id_of(&item), None, &actor())
        .await;
    assert_eq!(problem(again), Problem::NotFound);
    let audit = books
        .ledger
        .audit_log(None, 1)
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(audit.action, "quarantine.charge");
    assert!(audit.before.is_some() && audit.after.is_some());
    books.assert_verified().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_waits_once_and_can_be_charged_by_hand() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let refused = Problem::InvalidJson {
        detail: "EOF".into(),
    };
    for _ in 0..2 {
        books
            .ledger
            .reject(&books.key, Entrance::Webhook, b"{half", &refused, now())
            .await
            .unwrap();
    }
    books
        .ledger
        .reject(
            &books.key,
            Entrance::Webhook,
            b"x",
            &Problem::InvalidSignature,
            now(),
        )
        .await
        .unwrap();
    let item = only_waiting(&books).await;
    assert_eq!(
        (item.reason, item.body.as_str()),
        (QuarantineReason::Unreadable, "{half")
    );
    let unknown = books
        .ledger
        .charge_quarantined(id_of(&item), None, &actor())
        .await;
    assert_eq!(
        problem(unknown),
        Problem::field("usage", FieldFault::Missing)
    );
    let answer = books
        .ledger
        .charge_quarantined(id_of(&item), Some(sample()), &actor())
        .await
        .unwrap();
    assert_eq!(answer.points_deducted, points("93"));
    assert!(
        books
            .ledger
            .quarantine(None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_dismissed_message_is_gone_from_the_queue_and_audited() {
    let books = Books::open().await;
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    let item = only_waiting(&books).await;
    let silent = books
        .ledger
        .dismiss_quarantined(id_of(&item), " ", &actor())
        .await;
    assert_eq!(problem(silent), Problem::field("reason", FieldFault::Empty));
    books
        .ledger
        .dismiss_quarantined(id_of(&item), "a test call", &actor())
        .await
        .unwrap();
    books.set_price("gpt-4", "30", "60").await;
    assert_eq!(books.balance("user_789").await, points("0"));
    let audit = books
        .ledger
        .audit_log(None, 2)
        .await
        .unwrap()
        .items
        .remove(1);
    assert_eq!(
        (audit.action.as_str(), audit.subject.as_str()),
        ("quarantine.dismiss", "msg_456")
    );
}

#[tokio::test]
async fn a_release_is_a_job_that_counts_its_progress() {
    let books = Books::open().await;
    for number in 0..30 {
        let used = message(&format!("m{number}"), "u", "late", Tokens::new(1000, 0));
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 30);
    books.set_price("late", "1", "1").await;
    let job = &books.ledger.jobs(1).await.unwrap()[0];
    assert_eq!(
        (job.kind.as_str(), job.done, job.total),
        ("release", 30, 30)
    );
    assert_eq!(job.about, "late");
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    assert!(job.finished_at.is_some());
    assert_eq!(books.balance("u").await, points("-30"));
}

#[tokio::test]
async fn only_a_charge_that_happened_is_audited_as_one() {
    let books = Books::open().await;
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    let item = only_waiting(&books).await;
    let answer = books
        .ledger
        .charge_quarantined(id_of(&item), None, &actor())
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.reason),
        (Outcome::Quarantined, Some(QuarantineReason::UnknownModel)),
        "it still has no price"
    );
    let audit = books.ledger.audit_log(None, 10).await.unwrap().items;
    assert!(
        audit
            .iter()
            .all(|entry| entry.action != "quarantine.charge"),
        "{audit:?}"
    );
}

#[tokio::test]
async fn a_message_that_is_charged_and_dismissed_at_once_is_only_one_of_both() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let other = books.replica().await;
    for round in 0..30 {
        let user = format!("u{round}");
        let lying = MessageUsage {
            reported_total: Some(1),
            ..message(&format!("m{round}"), &user, "gpt-4", Tokens::new(1000, 0))
        };
        books.ledger.deliver(books.delivery(lying)).await.unwrap();
        let id = id_of(&only_waiting(&books).await);
        let actor = actor();
        let (charged, dismissed) = tokio::join!(
            books.ledger.charge_quarantined(id, None, &actor),
            other.dismiss_quarantined(id, "a test call", &actor),
        );
        let expected = match (charged, dismissed) {
            (Ok(answer), Err(error)) => {
                assert_eq!(answer.status, Outcome::Charged);
                assert_eq!(error.problem(), Problem::NotFound);
                "-30"
            }
            (Err(error), Ok(())) => {
                assert_eq!(error.problem(), Problem::NotFound);
                "0"
            }
            both => panic!("{both:?}"),
        };
        assert_eq!(books.balance(&user).await, points(expected));
    }
    books.assert_verified().await;
}
