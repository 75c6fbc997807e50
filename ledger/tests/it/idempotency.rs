//! A request that is repeated under its key is done once, and every time gets the same answer.

use futures::future::join_all;
use ledger::{
    Attempt, CheckRefusal, Grant, GrantRefusal, HoldRefusal, IdempotencyKey, KeyReused, NewPrice,
    RefundRefusal,
};
use shared::api::{CheckBalance, PostedEntry};
use shared::ids::IdError;
use shared::tokens::Tokens;

use crate::{Books, actor, message, points, price, refusal, user};

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new("tester", name).unwrap()
}

async fn refund(books: &Books, part: &str, name: &str) -> Attempt<PostedEntry, RefundRefusal> {
    let (owner, part) = (user("u"), Some(points(part)));
    books
        .ledger
        .refund_once(&owner, 1, part, "goodwill", Some(&key(name)), &actor())
        .await
}

/// A charge of 8 points, entry 1 of user `u`.
async fn charged() -> Books {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let used = message("a", "u", "m", Tokens::new(8000, 0));
    books.ledger.deliver(books.delivery(used)).await.unwrap();
    books
}

#[tokio::test]
async fn a_refund_repeated_at_once_through_two_processes_is_made_once() {
    let books = charged().await;
    let replica = books.replica().await;
    let (owner, actor, name) = (user("u"), actor(), key("k"));
    let part = Some(points("1"));
    let answers = join_all((0..10).map(|attempt| {
        let ledger = [&books.ledger, &replica][attempt % 2];
        ledger.refund_once(&owner, 1, part, "goodwill", Some(&name), &actor)
    }))
    .await;
    let first = answers[0].as_ref().unwrap();
    assert_eq!(
        (first.entry, first.points, first.balance),
        (2, points("1"), points("-7"))
    );
    for answer in &answers {
        assert_eq!(answer.as_ref().unwrap(), first);
    }
    assert_eq!(books.balance("u").await, points("-7"));
    // Later, when the balance is another one, the answer is still the first.
    assert_eq!(
        refund(&books, "1", "other").await.unwrap().balance,
        points("-6")
    );
    assert_eq!(&refund(&books, "1", "k").await.unwrap(), first);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_key_names_one_request_of_one_sender() {
    let books = charged().await;
    refund(&books, "1", "k").await.unwrap();
    let other_amount = refusal(refund(&books, "2", "k").await);
    assert_eq!(other_amount, RefundRefusal::Key(KeyReused));
    let grant = Grant {
        points: points("1"),
        reason: "goodwill".into(),
        is_bought: false,
        expires_at: None,
    };
    let give = async |caller: &str, name: &str| {
        let key = IdempotencyKey::new(caller, "k").unwrap();
        books
            .ledger
            .grant_once(&user(name), &grant, Some(&key), &actor())
            .await
    };
    assert_eq!(
        refusal(give("tester", "u").await),
        GrantRefusal::Key(KeyReused),
        "another operation"
    );
    give("somebody else", "u").await.unwrap();
    assert_eq!(
        refusal(give("somebody else", "v").await),
        GrantRefusal::Key(KeyReused),
        "another user"
    );
    assert_eq!(books.balance("v").await, points("0"));
    for (name, fault) in [(" ", IdError::Empty), ("a\nb", IdError::ControlCharacter)] {
        assert_eq!(IdempotencyKey::new("tester", name).unwrap_err(), fault);
    }
}

#[tokio::test]
async fn what_was_refused_is_tried_again_and_what_is_old_is_forgotten() {
    let books = charged().await;
    assert_eq!(
        refusal(refund(&books, "9", "k").await),
        RefundRefusal::MoreThanCharged
    );
    refund(&books, "1", "k").await.unwrap();

    let age = async |days: i32| {
        sqlx::query("update idempotency set created_at = now() - make_interval(days => $1)")
            .bind(days)
            .execute(&books.pool)
            .await
            .unwrap();
        books.ledger.maintain().await.unwrap();
        refund(&books, "1", "k").await.unwrap().entry
    };
    assert_eq!(age(29).await, 2, "still known");
    assert_eq!(age(31).await, 3, "a new request");
}

#[tokio::test]
async fn a_repeated_check_gets_the_hold_that_the_first_one_made() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    books.grant("u", "10").await;
    let check = CheckBalance {
        model_name: "m".parse().unwrap(),
        estimated_input_tokens: Some(8000),
        estimated_output_tokens: Some(0),
        user_id: None,
        hold: true,
        hold_seconds: None,
    };
    let (owner, name) = (user("u"), key("k"));
    let answers =
        join_all((0..5).map(|_| books.ledger.check_balance_once(&owner, &check, Some(&name))))
            .await;
    let first = answers[0].as_ref().unwrap();
    assert!(first.can_proceed && first.hold_id.is_some());
    for answer in &answers {
        assert_eq!(answer.as_ref().unwrap(), first);
    }
    let held = books.ledger.balance(&owner).await.unwrap().held;
    assert_eq!(held, points("8"), "one hold");

    let longer = CheckBalance {
        hold_seconds: Some(1),
        ..check.clone()
    };
    let other = books
        .ledger
        .check_balance_once(&owner, &longer, Some(&name))
        .await;
    let reused = CheckRefusal::Hold(HoldRefusal::Key(KeyReused));
    assert_eq!(refusal(other), reused);

    // A refusal is not kept: with more points, the same request succeeds.
    let (later, poor) = (key("later"), user("poor"));
    let ask = async || {
        let answer = books
            .ledger
            .check_balance_once(&poor, &check, Some(&later))
            .await;
        answer.unwrap().can_proceed
    };
    assert!(!ask().await);
    books.grant("poor", "10").await;
    assert!(ask().await);

    // The first answer, also when there would be none by now.
    let off = NewPrice {
        is_active: false,
        ..price("m", "1", "1")
    };
    books.ledger.publish_price(off, &actor()).await.unwrap();
    let again = books
        .ledger
        .check_balance_once(&owner, &check, Some(&name))
        .await;
    assert_eq!(&again.unwrap(), first);
    books.assert_verified().await;
}
