//! Invariant 3: what cannot be charged waits, and an administrator can end the wait.

use std::sync::Arc;

use ledger::{
    Delivery, DeliveryRefusal, DismissRefusal, Entrance, NotInQuarantine, QuarantineRefusal,
    ReasonFault, Rejection,
};
use shared::api::{Outcome, QuarantineReason};
use shared::ids::IdError;
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};
use uuid::Uuid;

use crate::{Books, actor, message, now, points, refusal, sample};

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
    let most = message("most", "u", "gpt-4", Tokens::new(20_000_000, 0));
    let answer = books.ledger.deliver(books.delivery(most)).await.unwrap();
    assert_eq!(answer.status, Outcome::Charged);
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
        matches!(refusal(refused), QuarantineRefusal::OtherMessage { waiting } if waiting == "msg_456"),
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
    assert_eq!(refusal(again), QuarantineRefusal::Id(NotInQuarantine));
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

/// Otherwise the same message under its other id would be another one, and its time another price's.
#[tokio::test]
async fn who_puts_numbers_right_need_not_repeat_the_other_ids_and_the_time() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let run = MessageUsage {
        also_known_as: vec!["run".into()],
        occurred_at: Some("2024-01-15T10:30:00Z".parse().unwrap()),
        ..message("msg", "u", "new", Tokens::new(2000, 0))
    };
    books.ledger.deliver(books.delivery(run)).await.unwrap();
    let by_its_run = message("run", "u", "m", Tokens::new(1000, 0));
    let mut by_its_run = books.delivery(by_its_run);
    by_its_run.entrance = Entrance::Langfuse;
    let charged = books.ledger.deliver(by_its_run).await.unwrap();
    assert_eq!(charged.status, Outcome::Charged);
    let id = id_of(&only_waiting(&books).await);
    let corrected = message("msg", "u", "m", Tokens::new(1000, 0));
    let answer = books
        .ledger
        .charge_quarantined(id, Some(corrected), &actor())
        .await
        .unwrap();
    assert_eq!(answer.status, Outcome::Duplicate);
    assert_eq!(books.balance("u").await, points("-1"));
    // Priced as of when it happened: the first price is in force since ever, the second only now.
    let waits = MessageUsage {
        occurred_at: Some("2024-01-15T10:30:00Z".parse().unwrap()),
        ..message("late", "u", "new", Tokens::new(1000, 0))
    };
    books.ledger.deliver(books.delivery(waits)).await.unwrap();
    books.set_price("m", "5", "5").await;
    let id = id_of(&only_waiting(&books).await);
    let corrected = message("late", "u", "m", Tokens::new(1000, 0));
    let answer = books
        .ledger
        .charge_quarantined(id, Some(corrected), &actor())
        .await
        .unwrap();
    assert_eq!(answer.points_deducted, points("1"));
    books.assert_verified().await;
}

#[tokio::test]
async fn what_waits_leaves_when_another_entrance_reports_it_without_a_doubt() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let doubtful = MessageUsage {
        reported_total: Some(1),
        ..message("msg", "u", "m", Tokens::new(1000, 0))
    };
    books
        .ledger
        .deliver(books.delivery(doubtful))
        .await
        .unwrap();
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 1);
    let mut plain = books.delivery(message("msg", "u", "m", Tokens::new(1000, 0)));
    plain.entrance = Entrance::Langfuse;
    let answer = books.ledger.deliver(plain).await.unwrap();
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    books.assert_verified().await;
}

#[tokio::test]
async fn what_waits_is_charged_once_however_many_administrators_read_it() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let waits = message("msg", "u", "new", Tokens::new(2000, 0));
    books.ledger.deliver(books.delivery(waits)).await.unwrap();
    let id = id_of(&only_waiting(&books).await);
    let administrator = actor();
    let charge = |tokens| {
        let corrected = message("msg", "u", "m", Tokens::new(tokens, 0));
        books
            .ledger
            .charge_quarantined(id, Some(corrected), &administrator)
    };
    // While the writer is busy with something else, they gather.
    let other = message("other", "u", "m", Tokens::new(0, 0));
    let other = books.ledger.deliver(books.delivery(other));
    let answers = futures::future::join_all((1..=20).map(|number| charge(number * 1000)));
    let (answers, _) = tokio::join!(answers, other);
    let mut paid = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => paid.push(answer.points_deducted),
            refused => {
                let gone = matches!(
                    refusal(refused),
                    QuarantineRefusal::Id(NotInQuarantine)
                        | QuarantineRefusal::Delivery(DeliveryRefusal::ResolvedAlready)
                );
                assert!(gone);
            }
        }
    }
    assert_eq!(paid.len(), 1, "{paid:?}");
    let owed = paid[0].negated().unwrap();
    assert_eq!(books.balance("u").await, owed);
    books.assert_verified().await;
}

/// It waits under its own id, and was charged under the other one.
#[tokio::test]
async fn a_better_report_that_waits_beside_what_was_charged_waits_once() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let poor = MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..message("run", "u", "m", Tokens::new(1000, 0))
    };
    books.ledger.deliver(books.delivery(poor)).await.unwrap();
    let better = MessageUsage {
        also_known_as: vec!["run".into()],
        ..message("msg", "u", "new", Tokens::new(1000, 0))
    };
    for _ in 0..2 {
        let mut better = books.delivery(better.clone());
        better.entrance = Entrance::Langfuse;
        let answer = books.ledger.deliver(better).await.unwrap();
        assert_eq!(answer.status, Outcome::Quarantined);
    }
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 1);
    books.set_price("new", "3", "3").await;
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    assert_eq!(books.balance("u").await, points("-3"));
    books.assert_verified().await;
}

/// The id that it goes by first is of another user's message: it waits as the message of an id of its own.
#[tokio::test]
async fn what_waits_under_another_of_its_ids_is_found_when_the_books_are_verified() {
    for first_id in ["taken", "own"] {
        let books = Books::open().await;
        books.set_price("m", "1", "2").await;
        let charged = message("taken", "u", "m", Tokens::new(10, 0));
        books.ledger.deliver(books.delivery(charged)).await.unwrap();
        let doubtful = |id: &str, also: &str| MessageUsage {
            also_known_as: vec![also.to_owned()],
            reported_total: Some(1),
            ..message(id, "v", "m", Tokens::new(20, 0))
        };
        // The second time it waits already, perhaps under an id that was not named then.
        let mut first = doubtful(first_id, "own");
        if first_id == "own" {
            first.also_known_as.clear();
        }
        for report in [first, doubtful("taken", "own")] {
            let answer = books.ledger.deliver(books.delivery(report)).await.unwrap();
            assert_eq!(answer.status, Outcome::Quarantined);
            only_waiting(&books).await;
        }
        books.assert_verified().await;
        let rows = "delete from quarantine where message is not null";
        sqlx::query(rows).execute(&books.pool).await.unwrap();
        assert!(!books.ledger.verify(None).await.unwrap().ok);
    }
}

/// Somebody may have chosen the ids of another user's message to have a call free.
#[tokio::test]
async fn what_has_no_id_of_its_own_is_charged_to_its_user_once_an_administrator_decides_so() {
    for is_corrected in [false, true] {
        let books = Books::open().await;
        books.set_price("m", "1", "2").await;
        let taken = |user: &str, tokens| message("taken", user, "m", Tokens::new(tokens, 0));
        books
            .ledger
            .deliver(books.delivery(taken("u", 1000)))
            .await
            .unwrap();
        let other = Delivery::own(Arc::clone(&books.key), Entrance::Gateway, taken("v", 7000));
        let answer = books.ledger.deliver(other.clone()).await.unwrap();
        assert_eq!(answer.reason, Some(QuarantineReason::AnotherUser));
        let id = id_of(&only_waiting(&books).await);
        let numbers = is_corrected.then(|| taken("v", 5000));
        let answer = books
            .ledger
            .charge_quarantined(id, numbers.clone(), &actor())
            .await
            .unwrap();
        assert_eq!(answer.status, Outcome::Charged);
        let again = books.ledger.charge_quarantined(id, numbers, &actor()).await;
        assert!(matches!(refusal(again), QuarantineRefusal::Id(_)));
        assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
        let spent = if is_corrected { "-5" } else { "-7" };
        assert_eq!(books.balance("v").await, points(spent));
        assert_eq!(books.balance("u").await, points("-1"));
        books.assert_verified().await;
    }
}

/// What takes the place of something is entered whole or not at all.
#[tokio::test]
async fn a_better_report_that_does_not_fit_the_account_waits_and_gives_nothing_back() {
    let books = Books::open().await;
    books.set_price("m", "5", "5").await;
    books.set_price("n", "1", "1").await;
    let calls = |ids: &[&str], model: &str| MessageUsage {
        calls: ids
            .iter()
            .map(|id| ModelCall {
                call_id: Some((*id).to_owned()),
                model_name: model.parse().unwrap(),
                tokens: Tokens::new(1000, 0),
                evidence: None,
            })
            .collect(),
        ..message("msg", "u", "m", Tokens::default())
    };
    for id in ["one", "two"] {
        let poor = MessageUsage {
            evidence: Evidence::ModelAssumed,
            ..calls(&[id], "m")
        };
        books.ledger.deliver(books.delivery(poor)).await.unwrap();
    }
    assert_eq!(books.balance("u").await, points("-10"));
    books.grant("u", "9223372036").await;
    books.grant("u", "3.854775807").await;
    let before = books.balance("u").await;
    let mut better = books.delivery(calls(&["one", "two"], "n"));
    better.entrance = Entrance::Langfuse;
    let answer = books.ledger.deliver(better).await.unwrap();
    assert_eq!(answer.reason, Some(QuarantineReason::Overflow));
    assert_eq!(books.balance("u").await, before);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_waits_once_and_can_be_charged_by_hand() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let half = Rejection {
        entrance: Entrance::Webhook,
        body: b"{half",
        received_at: now(),
        code: "invalid_json",
        hides_usage: true,
    };
    for _ in 0..2 {
        books.ledger.reject(&books.key, half).await.unwrap();
    }
    books
        .ledger
        .reject(
            &books.key,
            Rejection {
                body: b"x",
                code: "invalid_signature",
                hides_usage: false,
                ..half
            },
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
    assert_eq!(refusal(unknown), QuarantineRefusal::UsageUnknown);
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
    let unreadable = ReasonFault(IdError::Empty);
    assert_eq!(refusal(silent), DismissRefusal::Reason(unreadable));
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
                let gone = DismissRefusal::Id(NotInQuarantine);
                assert_eq!(refusal::<(), _>(Err(error)), gone);
                "-30"
            }
            (Err(error), Ok(())) => {
                let gone = matches!(
                    refusal::<(), _>(Err(error)),
                    QuarantineRefusal::Id(NotInQuarantine)
                        | QuarantineRefusal::Delivery(DeliveryRefusal::ResolvedAlready)
                );
                assert!(gone);
                "0"
            }
            both => panic!("{both:?}"),
        };
        assert_eq!(books.balance(&user).await, points(expected));
    }
    books.assert_verified().await;
}
