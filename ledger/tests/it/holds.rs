//! Invariants 7 and 8: no oversell, real cost.

use std::collections::HashSet;

use ledger::{Attempt, CheckRefusal, DeliveryRefusal, ReleaseRefusal, SettleRefusal, UnknownHold};
use shared::api::{BalanceCheck, CheckBalance, HoldStatus, Outcome};
use shared::tokens::Tokens;

use crate::{Books, actor, message, points, refusal, user};

/// A check for one call of `tokens` input tokens of model `m`, which cost a point per thousand.
fn check(tokens: u64, hold: bool) -> CheckBalance {
    CheckBalance {
        model_name: "m".parse().unwrap(),
        estimated_input_tokens: Some(tokens),
        estimated_output_tokens: Some(0),
        user_id: None,
        hold,
        hold_seconds: None,
    }
}

async fn books_with(balance: &str) -> Books {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    books.grant("u", balance).await;
    books
}

async fn hold(books: &Books, tokens: u64) -> String {
    let checked = books
        .ledger
        .check_balance(&user("u"), &check(tokens, true))
        .await
        .unwrap();
    checked.hold_id.unwrap()
}

async fn settle(
    books: &Books,
    hold_id: &str,
    id: &str,
    tokens: u64,
) -> Attempt<shared::api::WebhookAnswer, SettleRefusal> {
    let used = message(id, "u", "m", Tokens::new(tokens, 0));
    books
        .ledger
        .settle_hold(hold_id, books.delivery(used))
        .await
}

async fn run_out(books: &Books) {
    sqlx::query("update hold set expires_at = now() where status = 'open'")
        .execute(&books.pool)
        .await
        .unwrap();
    books.ledger.expire_holds().await.unwrap();
}

/// Asks for `attempts` holds of a point at once, by two processes in turn; how many were granted.
async fn holds_of_one_point_at_once(books: &Books, attempts: usize) -> usize {
    let replica = books.replica().await;
    let one_point = check(1000, true);
    let owner = user("u");
    let answers = futures::future::join_all((0..attempts).map(|attempt| {
        let ledger = if attempt % 2 == 0 {
            &books.ledger
        } else {
            &replica
        };
        ledger.check_balance(&owner, &one_point)
    }))
    .await;
    let is_granted = |answer: &Attempt<BalanceCheck, CheckRefusal>| {
        let answer = answer.as_ref().unwrap();
        assert_eq!(answer.can_proceed, answer.hold_id.is_some());
        assert_eq!(answer.can_proceed, answer.shortfall.is_zero());
        answer.can_proceed
    };
    answers.iter().filter(|answer| is_granted(answer)).count()
}

#[tokio::test]
async fn a_thousand_holds_of_one_point_against_fifty_points_grant_exactly_fifty() {
    let books = books_with("50").await;
    assert_eq!(holds_of_one_point_at_once(&books, 1000).await, 50);
    let balance = books.ledger.balance(&user("u")).await.unwrap();
    assert_eq!(
        (balance.balance, balance.held, balance.available),
        (points("50"), points("50"), points("0"))
    );
    books.assert_verified().await;
}

#[tokio::test]
async fn holds_at_once_go_down_to_the_debt_limit_and_no_further() {
    let books = books_with("5").await;
    books
        .ledger
        .set_debt_limit(&user("u"), points("7"), &actor())
        .await
        .unwrap();
    assert_eq!(holds_of_one_point_at_once(&books, 100).await, 12);
    books.assert_verified().await;
}

#[tokio::test]
async fn settling_charges_the_real_cost_and_frees_the_hold() {
    for (used, left) in [(3000, "7"), (7000, "3"), (12_000, "-2")] {
        let books = books_with("10").await;
        let id = hold(&books, 5000).await;
        let answer = settle(&books, &id, "msg", used).await.unwrap();
        assert_eq!(
            (answer.status, answer.balance),
            (Outcome::Charged, points(left))
        );
        let balance = books.ledger.balance(&user("u")).await.unwrap();
        assert_eq!((balance.balance, balance.held), (points(left), points("0")));
        assert_eq!(
            books
                .ledger
                .find_hold(&user("u"), &id)
                .await
                .unwrap()
                .status,
            HoldStatus::Settled
        );
        books.assert_verified().await;
    }
}

#[tokio::test]
async fn settling_twice_gives_the_first_answer_again() {
    let books = books_with("10").await;
    let id = hold(&books, 5000).await;
    let first = settle(&books, &id, "msg", 3000).await.unwrap();
    for name in ["msg", "another name for it"] {
        let again = settle(&books, &id, name, 3000).await.unwrap();
        assert_eq!(again.status, Outcome::Duplicate);
        assert_eq!(again.consumption_id, first.consumption_id);
    }
    let other = settle(&books, &id, "msg", 4000).await;
    assert!(matches!(
        refusal(other),
        SettleRefusal::Delivery(DeliveryRefusal::Conflict { .. })
    ));
    assert_eq!(books.balance("u").await, points("7"));
}

#[tokio::test]
async fn settling_again_under_the_id_of_another_message_makes_one_of_no_two_calls() {
    let books = books_with("10").await;
    let (first, second) = (hold(&books, 1000).await, hold(&books, 1000).await);
    let answer = settle(&books, &first, "msg-a", 1000).await.unwrap();
    settle(&books, &second, "msg-b", 1000).await.unwrap();
    let reported = message("msg-c", "u", "m", Tokens::new(1000, 0));
    books
        .ledger
        .deliver(books.delivery(reported))
        .await
        .unwrap();
    for name in ["msg-b", "msg-c"] {
        let again = settle(&books, &first, name, 1000).await.unwrap();
        assert_eq!(again.status, Outcome::Duplicate);
        assert_eq!(again.consumption_id, answer.consumption_id);
    }
    assert_eq!(books.balance("u").await, points("7"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_settlement_of_what_another_entrance_reported_first_charges_nothing_and_frees_the_hold() {
    let books = books_with("10").await;
    let id = hold(&books, 5000).await;
    let used = message("msg", "u", "m", Tokens::new(3000, 0));
    let first = books.ledger.deliver(books.delivery(used)).await.unwrap();
    let settled = settle(&books, &id, "msg", 3000).await.unwrap();
    assert_eq!(settled.status, Outcome::Duplicate);
    assert_eq!(settled.consumption_id, first.consumption_id);
    let balance = books.ledger.balance(&user("u")).await.unwrap();
    assert_eq!((balance.balance, balance.held), (points("7"), points("0")));
    let released = books.ledger.release_hold(&user("u"), &id).await;
    assert_eq!(refusal(released), ReleaseRefusal::Settled);
    books.assert_verified().await;
}

#[tokio::test]
async fn two_settlements_at_once_charge_once() {
    let books = books_with("10").await;
    let replica = books.replica().await;
    for _ in 0..5 {
        let id = hold(&books, 1000).await;
        let ours = books.delivery(message(&format!("a{id}"), "u", "m", Tokens::new(1000, 0)));
        let theirs = books.delivery(message(&format!("b{id}"), "u", "m", Tokens::new(1000, 0)));
        let (ours, theirs) = tokio::join!(
            books.ledger.settle_hold(&id, ours),
            replica.settle_hold(&id, theirs),
        );
        assert_eq!(ours.unwrap().consumption_id, theirs.unwrap().consumption_id);
    }
    assert_eq!(books.balance("u").await, points("5"));
    books.assert_verified().await;
}

/// Some of them in one group, where nothing of the others is written yet.
#[tokio::test]
async fn many_settlements_in_one_process_charge_once() {
    let books = books_with("10").await;
    let id = hold(&books, 1000).await;
    let settlements = (0..20).map(|number| {
        let used = message(&format!("m{number}"), "u", "m", Tokens::new(1000, 0));
        books.ledger.settle_hold(&id, books.delivery(used))
    });
    // While the writer is busy with something else, they gather.
    let other = message("other", "u", "m", Tokens::new(2000, 0));
    let other = books.ledger.deliver(books.delivery(other));
    let answers = futures::future::try_join_all(settlements);
    let (answers, other) = tokio::join!(answers, other);
    let answers = answers.unwrap();
    other.unwrap();
    let ids: HashSet<_> = answers.iter().map(|it| &it.consumption_id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(books.balance("u").await, points("7"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_released_or_expired_hold_frees_its_points_once_and_a_late_settlement_still_charges() {
    let books = books_with("10").await;
    let released = hold(&books, 4000).await;
    let expired = hold(&books, 4000).await;
    assert!(
        !books
            .ledger
            .check_balance(&user("u"), &check(4000, false))
            .await
            .unwrap()
            .can_proceed
    );
    for _ in 0..2 {
        books
            .ledger
            .release_hold(&user("u"), &released)
            .await
            .unwrap();
    }
    run_out(&books).await;
    assert_eq!(
        books.ledger.balance(&user("u")).await.unwrap().held,
        points("0")
    );
    assert_eq!(
        books
            .ledger
            .find_hold(&user("u"), &expired)
            .await
            .unwrap()
            .status,
        HoldStatus::Expired
    );

    for (number, id) in [&released, &expired].into_iter().enumerate() {
        let late = settle(&books, id, &format!("late{number}"), 1000)
            .await
            .unwrap();
        assert_eq!(late.status, Outcome::Charged);
    }
    assert_eq!(books.balance("u").await, points("8"));
    let settled = books.ledger.release_hold(&user("u"), &released).await;
    assert_eq!(refusal(settled), ReleaseRefusal::Settled);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_hold_belongs_to_its_user() {
    let books = books_with("10").await;
    let id = hold(&books, 1000).await;
    let open = books.ledger.open_holds(&user("u")).await.unwrap();
    assert_eq!((open.len(), &open[0].hold_id), (1, &id));
    assert_eq!(books.ledger.open_holds(&user("v")).await.unwrap(), []);
    for stranger in ["hold_x", "x"] {
        assert_eq!(
            refusal(books.ledger.find_hold(&user("u"), stranger).await),
            UnknownHold
        );
    }
    assert_eq!(
        refusal(books.ledger.release_hold(&user("v"), &id).await),
        ReleaseRefusal::Hold(UnknownHold)
    );
    let theft = books.delivery(message("m", "v", "m", Tokens::new(1, 0)));
    assert_eq!(
        refusal(books.ledger.settle_hold(&id, theft).await),
        SettleRefusal::Hold(UnknownHold)
    );
}

#[tokio::test]
async fn a_debt_limit_lets_new_holds_go_below_zero_so_far() {
    let books = books_with("1").await;
    books
        .ledger
        .set_debt_limit(&user("u"), points("2"), &actor())
        .await
        .unwrap();
    assert!(
        books
            .ledger
            .check_balance(&user("u"), &check(3000, true))
            .await
            .unwrap()
            .can_proceed
    );
    let refused = books
        .ledger
        .check_balance(&user("u"), &check(1, true))
        .await
        .unwrap();
    assert_eq!((refused.can_proceed, refused.hold_id), (false, None));
    assert_eq!(refused.shortfall, points("0.001"));

    // As good as without end.
    let most = points("9223372036.854775807");
    let (rich, actor) = (user("rich"), actor());
    let set = books.ledger.set_debt_limit(&rich, most, &actor);
    set.await.unwrap();
    books.grant("rich", "1").await;
    let answer = books.ledger.check_balance(&rich, &check(1, true)).await;
    assert!(answer.unwrap().can_proceed);
}
