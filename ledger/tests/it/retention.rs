//! What is a log and no book is dropped by months, and nothing that is owed or waits depends on it.

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use shared::api::Outcome;
use shared::tokens::Tokens;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::{Books, message};

const LONG_AGO: &str = "timestamptz '2020-01-15 12:00Z'";

/// Books with a duplicate and a message that waits, in the log of deliveries of this month.
async fn books_with_deliveries() -> Books {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    for (id, model) in [("twice", "m"), ("twice", "m"), ("waits", "nobody knows it")] {
        let used = message(id, "u", model, Tokens::new(1, 1));
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    assert_eq!(count(&books, "delivery").await, 2);
    books
}

async fn run(books: &Books, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&books.pool)
        .await
        .unwrap();
}

async fn count(books: &Books, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(&books.pool)
        .await
        .unwrap()
}

/// Gives that month a partition, as it had when it was the present one.
async fn make_january(books: &Books) {
    run(
        books,
        "create table delivery_2020_01 partition of delivery
             for values from ('2020-01-01 00:00Z') to ('2020-02-01 00:00Z')",
    )
    .await;
}

async fn record_all(books: &Books, at: &str) {
    run(books, &format!("update delivery set recorded_at = {at}")).await;
}

/// Rows and hash of the months that were dropped, in order.
async fn dropped(books: &Books) -> Vec<(String, i64, Vec<u8>)> {
    sqlx::query_as("select to_char(month, 'YYYY-MM'), rows, sha256 from dropped_log order by month")
        .fetch_all(&books.pool)
        .await
        .unwrap()
}

async fn hash_of(books: &Books, table: &str) -> Vec<u8> {
    let mut connection = books.pool.acquire().await.unwrap();
    let copy = format!("copy (select * from {table} order by tx, id) to stdout");
    let copied = connection.copy_out_raw(&copy).await.unwrap();
    let text: Vec<_> = copied.try_collect().await.unwrap();
    Sha256::digest(text.concat()).to_vec()
}

#[tokio::test]
async fn an_old_month_of_deliveries_is_dropped_and_its_count_and_hash_stay() {
    let books = books_with_deliveries().await;
    make_january(&books).await;
    record_all(&books, LONG_AGO).await;
    let hash = hash_of(&books, "delivery_2020_01").await;

    assert!(books.ledger.drop_old_deliveries().await.unwrap());

    assert_eq!(count(&books, "delivery").await, 0);
    let left = "pg_class where relname like 'delivery_2020_01%'";
    assert_eq!(count(&books, left).await, 0, "the table is gone");
    assert_eq!(dropped(&books).await, [("2020-01".to_owned(), 2, hash)]);
    // Again: there is nothing to do.
    assert!(books.ledger.drop_old_deliveries().await.unwrap());
    assert_eq!(dropped(&books).await.len(), 1);
}

#[tokio::test]
async fn what_was_dropped_is_missed_neither_by_verification_nor_by_what_waits() {
    let books = books_with_deliveries().await;
    make_january(&books).await;
    record_all(&books, LONG_AGO).await;
    books.ledger.drop_old_deliveries().await.unwrap();

    let report = books.ledger.verify(None).await.unwrap();
    assert!(report.ok, "{:?}", report.findings());
    assert_eq!(report.count("droppedDeliveries"), 2);
    assert_eq!(report.count("waiting"), 1);
    let again = message("twice", "u", "m", Tokens::new(1, 1));
    let answer = books.ledger.deliver(books.delivery(again)).await.unwrap();
    assert_eq!(answer.status, Outcome::Duplicate, "its id is claimed");
    books.set_price("nobody knows it", "1", "1").await;
    assert_eq!(
        count(&books, "quarantine where status = 'charged'").await,
        1
    );
    books.assert_verified().await;
}

#[tokio::test]
async fn deliveries_are_kept_until_their_whole_month_is_older_than_the_setting() {
    let books = books_with_deliveries().await;
    let month =
        "date_trunc('month', now() at time zone 'utc' - interval '13 months') at time zone 'utc'";
    record_all(&books, month).await;
    assert!(books.ledger.drop_old_deliveries().await.unwrap());
    assert_eq!(count(&books, "delivery").await, 2, "thirteen months ago");

    record_all(&books, &format!("{month} - interval '1 second'")).await;
    assert!(books.ledger.drop_old_deliveries().await.unwrap());
    assert_eq!(count(&books, "delivery").await, 0, "the month before");
}

#[tokio::test]
async fn old_months_without_a_partition_of_their_own_are_dropped_one_by_one() {
    let books = books_with_deliveries().await;
    run(
        &books,
        "update delivery set recorded_at = case outcome when 'duplicate' then timestamptz '2019-12-31 23:59:59Z'
             else timestamptz '2020-01-01 00:00Z' end",
    )
    .await;
    assert_eq!(count(&books, "delivery_default").await, 2);
    assert!(books.ledger.drop_old_deliveries().await.unwrap());
    assert_eq!(count(&books, "delivery").await, 0);
    let months: Vec<_> = dropped(&books)
        .await
        .into_iter()
        .map(|(month, rows, _)| (month, rows))
        .collect();
    assert_eq!(
        months,
        [("2019-12".to_owned(), 1), ("2020-01".to_owned(), 1)]
    );
}

#[tokio::test]
async fn a_month_that_was_only_detached_is_dropped_the_next_time() {
    let books = books_with_deliveries().await;
    make_january(&books).await;
    record_all(&books, LONG_AGO).await;
    // As after a crash between the two steps.
    run(&books, "select detach_month('delivery', 13)").await;
    assert_eq!(count(&books, "delivery").await, 0);
    assert!(dropped(&books).await.is_empty());
    assert!(books.ledger.drop_old_deliveries().await.unwrap());
    assert_eq!(dropped(&books).await[0].1, 2);
}

#[tokio::test]
async fn a_log_in_use_is_dropped_later_and_nobody_waits_for_that() {
    let books = books_with_deliveries().await;
    make_january(&books).await;
    record_all(&books, LONG_AGO).await;
    let mut reader = books.pool.acquire().await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("select from delivery")
        .execute(&mut *reading)
        .await
        .unwrap();

    let begun = Instant::now();
    assert!(!books.ledger.drop_old_deliveries().await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Nothing is left behind that others would wait for.
    let again = message("twice", "u", "m", Tokens::new(1, 1));
    let delivered = books.ledger.deliver(books.delivery(again));
    let delivered = tokio::time::timeout(Duration::from_secs(30), delivered).await;
    assert_eq!(delivered.unwrap().unwrap().status, Outcome::Duplicate);
    assert_eq!(count(&books, "delivery").await, 3);

    reading.rollback().await.unwrap();
    assert!(books.ledger.drop_old_deliveries().await.unwrap());
    assert_eq!(count(&books, "delivery").await, 1);
}

#[tokio::test]
async fn what_was_dropped_stays_on_record() {
    let books = books_with_deliveries().await;
    record_all(&books, LONG_AGO).await;
    books.ledger.drop_old_deliveries().await.unwrap();
    for statement in [
        "update dropped_log set rows = 1",
        "delete from dropped_log",
        "truncate dropped_log",
    ] {
        let refused = sqlx::query(statement).execute(&books.pool).await;
        let error = refused.expect_err(statement).to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn the_log_has_a_partition_for_this_month_and_those_ahead() {
    let books = books_with_deliveries().await;
    let months: Vec<String> = sqlx::query_scalar(
        "select distinct to_char(now() at time zone 'utc' + n * interval '1 month', '\"delivery_\"YYYY_MM')
         from generate_series(0, 5) n order by 1",
    )
    .fetch_all(&books.pool)
    .await
    .unwrap();
    let is_in: String =
        sqlx::query_scalar("select distinct tableoid::regclass::text from delivery")
            .fetch_one(&books.pool)
            .await
            .unwrap();
    assert_eq!(is_in, months[0]);
    for month in months {
        let table = format!("pg_class where relispartition and relname = '{month}'");
        assert_eq!(count(&books, &table).await, 1, "{month}");
    }
}
