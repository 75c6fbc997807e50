//! Everything at once, through two processes: sums stay exact, and nobody waits for each other.

use std::fs;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use ledger::{Attempt, DeliveryRefusal, Error, Grant, Ledger, OperationError, RefundRefusal};
use shared::api::{CheckBalance, Outcome, WebhookAnswer};
use shared::money::Points;
use shared::tokens::Tokens;
use shared::usage::MessageUsage;

use crate::{Books, actor, cluster, message, points, refusal, user};

const USERS: usize = 5;
/// Of each kind, for each user.
const ROUNDS: usize = 12;

fn name(number: usize) -> String {
    format!("u{number}")
}

/// How often Postgres had to end a deadlock since it was first started for these tests.
async fn deadlocks() -> usize {
    let log = cluster().await.folder().join("postgres.log");
    let log = fs::read_to_string(log).unwrap();
    log.matches("deadlock detected").count()
}

/// Charges a point, before everything else, so that it can be refunded: entry 2 and following.
async fn charge_before(books: &Books) {
    for number in 0..USERS {
        books.grant(&name(number), "1000").await;
        for round in 0..ROUNDS {
            let id = format!("before {number} {round}");
            let used = message(&id, &name(number), "m", Tokens::new(1000, 0));
            books.ledger.deliver(books.delivery(used)).await.unwrap();
        }
    }
}

/// A charge of two points.
async fn charge(books: &Books, ledger: &Ledger, number: usize, round: usize) {
    let id = format!("charge {number} {round}");
    let used = message(&id, &name(number), "m", Tokens::new(2000, 0));
    let answer = ledger.deliver(books.delivery(used)).await.unwrap();
    assert_eq!(answer.status, Outcome::Charged);
}

/// A hold of four points: every third is settled with three, every third is released.
async fn hold(books: &Books, ledger: &Ledger, number: usize, round: usize) {
    let check = CheckBalance {
        model_name: "m".parse().unwrap(),
        estimated_input_tokens: Some(4000),
        estimated_output_tokens: Some(0),
        user_id: None,
        hold: true,
        hold_seconds: None,
    };
    let owner = user(&name(number));
    let checked = ledger.check_balance(&owner, &check).await.unwrap();
    let hold = checked.hold_id.unwrap();
    match round % 3 {
        0 => {
            let id = format!("held {number} {round}");
            let used = message(&id, &name(number), "m", Tokens::new(3000, 0));
            ledger
                .settle_hold(&hold, books.delivery(used))
                .await
                .unwrap();
        }
        1 => {
            ledger.release_hold(&owner, &hold).await.unwrap();
        }
        _ => {}
    }
}

async fn grant(ledger: &Ledger, number: usize, round: usize) {
    let grant = Grant {
        points: points("5"),
        reason: "test".into(),
        is_bought: round.is_multiple_of(2),
        expires_at: None,
    };
    ledger
        .grant(&user(&name(number)), &grant, &actor())
        .await
        .unwrap();
}

/// Each charge is refunded by both processes, of which one comes too late.
async fn refund(ledger: &Ledger, number: usize, round: usize) -> bool {
    let entry = i64::try_from(round).unwrap() + 2;
    match ledger
        .refund(&user(&name(number)), entry, None, "test", &actor())
        .await
    {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(refusal::<(), _>(Err(error)), RefundRefusal::NoPoints);
            false
        }
    }
}

#[tokio::test]
async fn charges_holds_refunds_and_grants_at_once_add_up() {
    let deadlocks_before = deadlocks().await;
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    charge_before(&books).await;
    let ledgers = [books.ledger.clone(), books.replica().await];
    let mut work: Vec<BoxFuture<'_, usize>> = Vec::new();
    for round in 0..ROUNDS {
        for number in 0..USERS {
            // Two processes, in opposite orders.
            let other = USERS - 1 - number;
            let books = &books;
            let [one, two] = &ledgers;
            work.push(charge(books, one, number, 2 * round).map(|()| 0).boxed());
            work.push(charge(books, two, other, 2 * round + 1).map(|()| 0).boxed());
            work.push(hold(books, one, other, round).map(|()| 0).boxed());
            work.push(grant(two, number, round).map(|()| 0).boxed());
            for ledger in &ledgers {
                work.push(refund(ledger, number, round).map(usize::from).boxed());
            }
        }
        for ledger in &ledgers {
            work.push(
                async {
                    ledger.expire_holds().await.unwrap();
                    0
                }
                .boxed(),
            );
            work.push(
                async {
                    ledger.expire_credits().await.unwrap();
                    0
                }
                .boxed(),
            );
        }
    }
    let refunded: usize = join_all(work).await.into_iter().sum();
    assert_eq!(refunded, USERS * ROUNDS);
    let rounds = i64::try_from(ROUNDS).unwrap();
    // Granted, charged and refunded before; two charges of 2, grants of 5, and a third settles 3.
    let balance = 1000 - rounds + rounds - 4 * rounds + 5 * rounds - rounds / 3 * 3;
    let held = rounds / 3 * 4;
    for number in 0..USERS {
        let told = books.ledger.balance(&user(&name(number))).await.unwrap();
        let whole = |points: i64| Points::from_nano(points * 1_000_000_000);
        assert_eq!((told.balance, told.held), (whole(balance), whole(held)));
    }
    assert_eq!(deadlocks().await, deadlocks_before);
    books.assert_verified().await;
}

#[tokio::test]
async fn groups_that_cross_never_deadlock() {
    let deadlocks_before = deadlocks().await;
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let ledgers = [books.ledger.clone(), books.replica().await];
    for batch in 0..5 {
        let deliveries = (0..200).map(|number| {
            // New accounts and old ones, upwards in one process and downwards in the other.
            let account = if number % 2 == 0 {
                number / 2
            } else {
                99 - number / 2
            };
            let id = format!("m{batch} {number}");
            let used = message(&id, &name(account + batch * 50), "m", Tokens::new(1000, 0));
            ledgers[number % 2].deliver(books.delivery(used))
        });
        for answer in join_all(deliveries).await {
            assert_eq!(answer.unwrap().status, Outcome::Charged);
        }
    }
    assert_eq!(deadlocks().await, deadlocks_before);
    books.assert_verified().await;
}

#[tokio::test]
async fn more_changes_at_once_than_connections_all_get_their_answer() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    charge_before(&books).await;
    let (owner, actor) = (user(&name(0)), actor());
    let changes = (0..ROUNDS).flat_map(|round| {
        let (ledger, owner, actor) = (&books.ledger, &owner, &actor);
        let entry = i64::try_from(round).unwrap() + 2;
        [
            ledger
                .refund(owner, entry, None, "test", actor)
                .map(Result::unwrap)
                .boxed(),
            ledger
                .add_points(owner, points("1"), "test", actor)
                .map(Result::unwrap)
                .boxed(),
            ledger
                .set_debt_limit(owner, points("1"), actor)
                .map(Result::unwrap)
                .boxed(),
        ]
    });
    join_all(changes).await;
    assert_eq!(books.balance(&name(0)).await, points("1012"));
}

/// Delivers a message whose write has to wait for a change that another process is making to the
/// user's books, which this one has not read.
async fn deliver_during(
    books: &Books,
    used: MessageUsage,
    change: &'static str,
) -> Attempt<WebhookAnswer, DeliveryRefusal> {
    let mut other = books.pool.begin().await.unwrap();
    sqlx::query("select from account where user_id = $1 for update")
        .bind(used.user_id.as_str())
        .execute(&mut *other)
        .await
        .unwrap();
    sqlx::query(change).execute(&mut *other).await.unwrap();
    let delivering = {
        let (ledger, delivery) = (books.ledger.clone(), books.delivery(used));
        tokio::spawn(async move { ledger.deliver(delivery).await })
    };
    let waits = "select exists (select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like 'with priced%')";
    while !sqlx::query_scalar::<_, bool>(waits)
        .fetch_one(&books.pool)
        .await
        .unwrap()
    {
        tokio::task::yield_now().await;
    }
    other.commit().await.unwrap();
    delivering.await.unwrap()
}

#[tokio::test]
async fn what_others_set_while_a_charge_is_written_stays() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    books.grant("u", "10").await;
    let used = message("m1", "u", "m", Tokens::new(2000, 0));
    let limit = "update account set debt_limit_nano = 7000000000 where user_id = 'u'";
    let answer = deliver_during(&books, used, limit).await.unwrap();
    assert_eq!(answer.status, Outcome::Charged);
    let account = books.ledger.balance(&user("u")).await.unwrap();
    assert_eq!(
        (account.balance, account.debt_limit),
        (points("8"), points("7"))
    );
    books.assert_verified().await;
}

#[tokio::test]
async fn a_message_that_comes_into_quarantine_while_another_report_is_written_is_a_conflict() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    books.grant("u", "10").await;
    // Of another model, and with another id until the moment of interest.
    let waiting = message("m0", "u", "unknown", Tokens::new(1000, 0));
    let waiting = books.ledger.deliver(books.delivery(waiting)).await.unwrap();
    assert_eq!(waiting.status, Outcome::Quarantined);
    let used = message("m1", "u", "m", Tokens::new(2000, 0));
    let claim = "insert into claim (id, message)
         select substring(encode(sha256('tollgate message\\000'::bytea || int8send(1) || 'm1'::bytea), 'hex'), 1, 32)::uuid,
             message from message_event where kind = 'waiting'";
    let answer = deliver_during(&books, used, claim).await;
    assert!(matches!(refusal(answer), DeliveryRefusal::Conflict { .. }));
    assert_eq!(books.balance("u").await, points("10"));
    books.assert_verified().await;
}

#[tokio::test]
async fn all_connections_of_a_ledger_end_with_it() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let used = message("m-1", "u", "m", Tokens::new(1, 1));
    books.ledger.deliver(books.delivery(used)).await.unwrap();
    let model = "m".parse().unwrap();
    let estimate = books.ledger.estimate(None, &model, Some(1), Some(1));
    estimate.await.unwrap();
    let connections = async || -> Vec<String> {
        sqlx::query_scalar(
            "select distinct application_name from pg_stat_activity
             where datname = current_database() and application_name like 'tollgate%' order by 1",
        )
        .fetch_all(&books.pool)
        .await
        .unwrap()
    };
    let all = ["tollgate", "tollgate reader", "tollgate writer"];
    assert_eq!(connections().await, all);
    drop(books.ledger);
    let gone = async { while !connections().await.is_empty() {} };
    let gone = tokio::time::timeout(Duration::from_secs(15), gone).await;
    assert!(gone.is_ok(), "still there: {:?}", connections().await);
}

#[tokio::test]
async fn only_a_lost_race_is_tried_again_and_not_for_ever() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    // Whatever is rolled back, a sequence keeps counting.
    sqlx::raw_sql(
        "create sequence tries;
         create function fail() returns trigger language plpgsql as $$
         begin
             perform nextval('tries');
             raise exception 'for the test' using errcode = new.message_id;
         end $$;
         create trigger fail before insert on journal_entry for each row execute function fail()",
    )
    .execute(&books.pool)
    .await
    .unwrap();
    // A serialization failure, and a division by zero.
    for (code, tries_expected) in [("40001", 10), ("22012", 1)] {
        let used = message(code, "u", "m", Tokens::new(1, 1));
        let refused = books.ledger.deliver(books.delivery(used));
        let refused = tokio::time::timeout(Duration::from_secs(30), refused).await;
        assert!(
            matches!(refused, Ok(Err(OperationError::Failed(Error::Database(_))))),
            "{code}: {refused:?}"
        );
        let tries: i64 = sqlx::query_scalar("select nextval('tries') - 1")
            .fetch_one(&books.pool)
            .await
            .unwrap();
        assert_eq!(tries, tries_expected, "{code}");
        sqlx::raw_sql("alter sequence tries restart")
            .execute(&books.pool)
            .await
            .unwrap();
    }
}
