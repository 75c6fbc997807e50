//! Invariants 1, 3, 5 and 8: once, nothing lost, double entry, real cost.

use std::sync::Arc;

use ledger::{Delivery, DeliveryRefusal, Entrance, Error, OperationError, Rejection};
use shared::api::{Outcome, QuarantineReason};
use shared::tokens::Tokens;

use crate::{Books, message, now, points, price, refusal, sample, user};

#[tokio::test]
async fn the_sample_takes_93_points_once() {
    let books = Books::open().await;
    books.set_price("GPT-4", "30", "60").await;
    books.grant("user_789", "100").await;

    let first = books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    assert_eq!(first.status, Outcome::Charged);
    assert_eq!(first.points_deducted, points("93"));
    assert_eq!(first.tokens_used, 2300);
    assert_eq!(first.balance, points("7"));

    let mut again = books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    assert_eq!(again.status, Outcome::Duplicate);
    again.status = Outcome::Charged;
    assert_eq!(again, first, "a duplicate gets the first answer");
    assert_eq!(books.balance("user_789").await, points("7"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_duplicate_is_answered_as_then_even_after_other_charges() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let first = books
        .ledger
        .deliver(books.delivery(message("a", "u", "m", Tokens::new(10, 0))))
        .await
        .unwrap();
    books
        .ledger
        .deliver(books.delivery(message("b", "u", "m", Tokens::new(10, 0))))
        .await
        .unwrap();
    let again = books
        .ledger
        .deliver(books.delivery(message("a", "u", "m", Tokens::new(10, 0))))
        .await
        .unwrap();
    assert_eq!(again.balance, first.balance);
    assert_eq!(again.consumption_id, first.consumption_id);
}

#[tokio::test]
async fn the_same_message_with_other_numbers_or_another_user_is_a_recorded_conflict() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();

    let mut other_numbers = sample();
    other_numbers.calls[0].tokens.output += 1;
    let mut other_user = sample();
    other_user.user_id = user("somebody else");
    let mut other_model = sample();
    other_model.calls[0].model_name = "gpt-5".parse().unwrap();
    for message in [other_numbers, other_user, other_model] {
        let told = refusal(books.ledger.deliver(books.delivery(message)).await);
        assert_eq!(
            told,
            DeliveryRefusal::Conflict {
                message_id: "msg_456".into()
            }
        );
    }
    assert_eq!(books.balance("user_789").await, points("-93"));
    assert_eq!(books.balance("somebody else").await, points("0"));
    let conflicts: i64 = sqlx::query_scalar(
        "select count(*) from delivery where outcome = 'conflict' and body is not null",
    )
    .fetch_one(&books.pool)
    .await
    .unwrap();
    assert_eq!(conflicts, 3);
}

#[tokio::test]
async fn the_model_is_compared_without_case_in_prices_and_in_duplicates() {
    let books = Books::open().await;
    books.set_price("GPT-4", "30", "60").await;
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    let mut upper = sample();
    upper.calls[0].model_name = "GPT-4".parse().unwrap();
    let again = books.ledger.deliver(books.delivery(upper)).await.unwrap();
    assert_eq!(again.status, Outcome::Duplicate);
}

#[tokio::test]
async fn an_unknown_model_waits_and_its_first_price_charges_it() {
    let books = Books::open().await;
    books.grant("user_789", "100").await;
    for _ in 0..2 {
        let kept = books
            .ledger
            .deliver(books.delivery(sample()))
            .await
            .unwrap();
        assert_eq!(kept.status, Outcome::Quarantined);
        assert_eq!(kept.reason, Some(QuarantineReason::UnknownModel));
        assert_eq!(kept.consumption_id, None);
        assert_eq!(kept.balance, points("100"));
    }
    let waiting = books.ledger.quarantine(None, 10).await.unwrap().items;
    assert_eq!(waiting.len(), 1, "a redelivery does not wait twice");
    assert_eq!(waiting[0].message_id.as_deref(), Some("msg_456"));

    let mut other = sample();
    other.calls[0].tokens.input = 1;
    refusal(books.ledger.deliver(books.delivery(other)).await);

    books.set_price("gpt-4", "30", "60").await;
    assert_eq!(books.balance("user_789").await, points("7"));
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
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    assert_eq!(again.status, Outcome::Duplicate);
    books.assert_verified().await;
}

#[tokio::test]
async fn an_inactive_price_keeps_messages_waiting_until_it_is_active_again() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let off = ledger::NewPrice {
        is_active: false,
        ..price("gpt-4", "30", "60")
    };
    books
        .ledger
        .publish_price(off, &crate::actor())
        .await
        .unwrap();
    let kept = books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    assert_eq!(kept.reason, Some(QuarantineReason::InactivePrice));

    // What happened while the price was off stays off: only the next version's own time is covered.
    books.set_price("gpt-4", "1", "1").await;
    assert_eq!(
        books.ledger.quarantine(None, 10).await.unwrap().items.len(),
        1
    );
    let mut before = sample();
    before.message_id = "before it was switched off".into();
    before.occurred_at = Some("2024-01-15T10:30:00Z".parse().unwrap());
    let charged = books.ledger.deliver(books.delivery(before)).await.unwrap();
    assert_eq!(
        charged.points_deducted,
        points("93"),
        "the old price was in force then"
    );
}

#[tokio::test]
async fn contradictory_totals_wait_for_an_administrator() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let mut lying = sample();
    lying.reported_total = Some(2301);
    let kept = books.ledger.deliver(books.delivery(lying)).await.unwrap();
    assert_eq!(kept.reason, Some(QuarantineReason::ContradictoryTokens));
    let mut honest = sample();
    honest.message_id = "honest".into();
    honest.reported_total = Some(2300);
    let charged = books.ledger.deliver(books.delivery(honest)).await.unwrap();
    assert_eq!(charged.status, Outcome::Charged);
}

#[tokio::test]
async fn a_charge_that_does_not_fit_waits_and_spoils_no_other() {
    let books = Books::open().await;
    books.set_price("dear", "9000000000", "0").await;
    books.set_price("m", "1", "1").await;
    let absurd = message("absurd", "u", "dear", Tokens::new(1_000_000, 0));
    let huge = message("huge", "u", "dear", Tokens::new(1000, 0));
    let huge_again = message("huge again", "u", "dear", Tokens::new(1000, 0));
    let fine = message("fine", "u", "m", Tokens::new(1000, 0));
    let (absurd, huge, huge_again, fine) = tokio::join!(
        books.ledger.deliver(books.delivery(absurd)),
        books.ledger.deliver(books.delivery(huge)),
        books.ledger.deliver(books.delivery(huge_again)),
        books.ledger.deliver(books.delivery(fine)),
    );
    assert_eq!(absurd.unwrap().reason, Some(QuarantineReason::Overflow));
    assert_eq!(huge.unwrap().status, Outcome::Charged);
    assert_eq!(huge_again.unwrap().reason, Some(QuarantineReason::Overflow));
    assert_eq!(fine.unwrap().status, Outcome::Charged);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_message_with_several_models_is_the_sum_of_its_lines() {
    let books = Books::open().await;
    books.set_price("a", "1", "2").await;
    books.set_price("b", "0.000001", "10").await;
    let mut mixed = message("mixed", "u", "a", Tokens::new(1000, 1000));
    mixed
        .calls
        .extend(message("", "u", "b", Tokens::new(7, 100)).calls);
    let answer = books.ledger.deliver(books.delivery(mixed)).await.unwrap();
    assert_eq!(answer.points_deducted, points("4.000000007"));
    books.assert_verified().await;
}

#[tokio::test]
async fn real_cost_makes_a_debt_that_is_never_forgiven() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    books.grant("user_789", "50").await;
    let answer = books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    assert_eq!(answer.balance, points("-43"));
    let check = shared::api::CheckBalance {
        model_name: "gpt-4".parse().unwrap(),
        estimated_input_tokens: Some(0),
        estimated_output_tokens: Some(0),
        user_id: None,
        hold: false,
        hold_seconds: None,
    };
    let checked = books
        .ledger
        .check_balance(&user("user_789"), &check)
        .await
        .unwrap();
    assert!(!checked.can_proceed, "a debt blocks even a free call");
    assert_eq!(checked.shortfall, points("43"));
}

#[tokio::test]
async fn one_message_a_hundred_times_at_once_through_two_processes_is_charged_once() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    let replica = books.replica().await;
    let answers = futures::future::join_all((0..100).map(|attempt| {
        let ledger = if attempt % 2 == 0 {
            &books.ledger
        } else {
            &replica
        };
        ledger.deliver(books.delivery(sample()))
    }))
    .await;
    let charged = answers
        .into_iter()
        .filter(|answer| answer.as_ref().unwrap().status == Outcome::Charged)
        .count();
    assert_eq!(charged, 1);
    assert_eq!(books.balance("user_789").await, points("-93"));
}

#[tokio::test]
async fn one_message_under_two_users_in_two_processes_is_charged_to_one_of_them() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let replica = books.replica().await;
    for round in 0..20 {
        let id = format!("m{round}");
        let (ours, theirs) = tokio::join!(
            books
                .ledger
                .deliver(books.delivery(message(&id, "a", "m", Tokens::new(1000, 0)))),
            replica.deliver(books.delivery(message(&id, "b", "m", Tokens::new(1000, 0)))),
        );
        assert!(
            ours.is_ok() != theirs.is_ok(),
            "round {round}: {ours:?} {theirs:?}"
        );
    }
    let together = books
        .balance("a")
        .await
        .plus(books.balance("b").await)
        .unwrap();
    assert_eq!(together, points("-20"));
    books.assert_verified().await;
}

#[tokio::test]
async fn concurrent_charges_of_shared_accounts_lose_nothing_and_never_deadlock() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let replica = books.replica().await;
    let mut deliveries = Vec::new();
    for number in 0..400 {
        let ledger = if number % 2 == 0 {
            &books.ledger
        } else {
            &replica
        };
        // Both processes touch the same five accounts, in opposite orders.
        let account = if number % 2 == 0 {
            number % 5
        } else {
            4 - number % 5
        };
        let message = message(
            &format!("m{number}"),
            &format!("u{account}"),
            "m",
            Tokens::new(1000, 0),
        );
        deliveries.push(ledger.deliver(books.delivery(message)));
    }
    for answer in futures::future::join_all(deliveries).await {
        assert_eq!(answer.unwrap().status, Outcome::Charged);
    }
    let mut total = points("0");
    for account in 0..5 {
        total = total
            .plus(books.balance(&format!("u{account}")).await)
            .unwrap();
    }
    assert_eq!(total, points("-400"));
    books.assert_verified().await;
}

#[tokio::test]
async fn every_delivery_leaves_a_row() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    books
        .ledger
        .deliver(books.delivery(message("x", "u", "unknown", Tokens::new(1, 1))))
        .await
        .unwrap();
    books
        .ledger
        .reject(
            &books.key,
            Rejection {
                entrance: Entrance::Webhook,
                body: b"not json",
                received_at: now(),
                code: "invalid_json",
                hides_usage: true,
            },
        )
        .await
        .unwrap();
    // A transaction that runs elsewhere in the cluster holds the feed back for a moment.
    let mut page = books.ledger.live_latest(50).await.unwrap();
    while page.events.len() < 4 {
        page = books.ledger.live_latest(50).await.unwrap();
    }
    let outcomes: Vec<_> = page.events.iter().map(|event| event.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Charged,
            Outcome::Duplicate,
            Outcome::Quarantined,
            Outcome::Rejected
        ]
    );
    // What was charged is in the journal alone.
    let logged: i64 = sqlx::query_scalar("select count(*) from delivery")
        .fetch_one(&books.pool)
        .await
        .unwrap();
    assert_eq!(logged, 3);
}

#[tokio::test]
async fn a_full_queue_says_busy_and_records_nothing() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let small = ledger::Ledger::connect(
        books.options.clone(),
        ledger::SealingKey::from_bytes([7; 32]),
        ledger::Settings {
            pool_connections_max: 2,
            queue_messages_max: 1,
            ..ledger::Settings::default()
        },
    )
    .await
    .unwrap();
    let answers = futures::future::join_all((0..50).map(|number| {
        small.deliver(books.delivery(message(
            &format!("m{number}"),
            "u",
            "m",
            Tokens::new(1000, 0),
        )))
    }))
    .await;
    let (charged, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!refused.is_empty());
    for answer in refused {
        assert!(matches!(answer, Err(OperationError::Failed(Error::Busy))));
    }
    let balance = books.balance("u").await;
    assert_eq!(
        balance.nano(),
        -i64::try_from(charged.len()).unwrap() * 1_000_000_000
    );
}

/// Bodies of 64 MiB may wait, each counted as more than it is.
#[tokio::test]
async fn what_waits_takes_so_much_memory_and_no_more() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let deliver = |id: &str, mib: usize| {
        let used = message(id, "u", "m", Tokens::new(1000, 0));
        let (key, body) = (Arc::clone(&books.key), vec![0; mib * 1024 * 1024]);
        let delivery = Delivery::new(key, Entrance::Webhook, used, body, now());
        books.ledger.deliver(delivery)
    };
    let together = [deliver("a", 1), deliver("b", 1), deliver("c", 1)];
    futures::future::try_join_all(together).await.unwrap();
    let refused = deliver("d", 64).await;
    assert!(matches!(refused, Err(OperationError::Failed(Error::Busy))));
    assert_eq!(books.balance("u").await, points("-3"));
}
