//! The live feed resumes without gap or repeat.

use ledger::UnknownFeedPlace;
use shared::tokens::Tokens;
use sqlx::Connection as _;

use crate::{Books, message, refusal};

#[tokio::test]
async fn a_reader_that_resumes_sees_every_delivery_once_while_two_processes_write() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let replica = books.replica().await;
    let write = async |ledger: &ledger::Ledger, writer: &str| {
        for number in 0..150 {
            let used = message(&format!("{writer}{number}"), writer, "m", Tokens::new(1, 1));
            ledger.deliver(books.delivery(used)).await.unwrap();
        }
    };
    let read = async {
        let mut signal = books.ledger.live_signal();
        let mut cursor = books.ledger.live_latest(1).await.unwrap().cursor;
        let mut seen = Vec::new();
        while seen.len() < 300 {
            signal.mark_unchanged();
            let page = books.ledger.live_after(&cursor, 7).await.unwrap();
            cursor.clone_from(&page.cursor);
            let is_idle = page.events.is_empty() && !page.is_held_back;
            seen.extend(page.events.into_iter().filter_map(|event| event.message_id));
            if is_idle {
                // Another process's commit arrives as a notification; neither is lost.
                let _ = tokio::time::timeout(std::time::Duration::from_secs(30), signal.changed())
                    .await
                    .unwrap();
            }
        }
        seen
    };
    let ((), (), mut seen) = tokio::join!(write(&books.ledger, "a"), write(&replica, "b"), read);
    let deliveries = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((deliveries, seen.len()), (300, 300));
}

#[tokio::test]
async fn a_delivery_behind_a_slow_transaction_is_held_back_and_then_comes_in_order() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let start = books.ledger.live_latest(1).await.unwrap().cursor;
    // An older transaction that has written, and may still write a delivery.
    let mut slow = books.pool.acquire().await.unwrap();
    let mut tx = slow.begin().await.unwrap();
    sqlx::query(
        "insert into delivery (recorded_at, received_at, api_key_id, entrance, outcome, message_id)
         values (now(), now(), $1, 'webhook', 'rejected', 'slow')",
    )
    .bind(books.key.id)
    .execute(&mut *tx)
    .await
    .unwrap();
    books
        .ledger
        .deliver(books.delivery(message("quick", "u", "m", Tokens::new(1, 1))))
        .await
        .unwrap();

    let page = books.ledger.live_after(&start, 10).await.unwrap();
    assert!(page.events.is_empty() && page.is_held_back);
    assert_eq!(page.cursor, start);
    tx.commit().await.unwrap();

    let mut page = books.ledger.live_after(&start, 10).await.unwrap();
    // Other tests' transactions in the same cluster may hold it back a little longer.
    while page.is_held_back {
        tokio::task::yield_now().await;
        page = books.ledger.live_after(&start, 10).await.unwrap();
    }
    let ids: Vec<_> = page
        .events
        .iter()
        .filter_map(|event| event.message_id.as_deref())
        .collect();
    assert_eq!(ids, ["slow", "quick"]);
}

#[tokio::test]
async fn a_bad_cursor_is_named() {
    let books = Books::open().await;
    for cursor in ["", "1", "x-1", "1-x", "-1-1"] {
        assert_eq!(
            refusal(books.ledger.live_after(cursor, 10).await),
            UnknownFeedPlace
        );
    }
}

#[tokio::test]
async fn a_delivery_names_each_model_of_its_message_whatever_its_name() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let names = ["m", "no price, as of today", "nor has this"];
    let mut used = message("several", "u", "m", Tokens::new(1, 1));
    let call = used.calls[0].clone();
    used.calls = names
        .map(|name| {
            let mut call = call.clone();
            call.model_name = name.parse().unwrap();
            call
        })
        .into();
    let priced = message("one", "u", "m", Tokens::new(1, 1));
    for usage in [used, priced] {
        books.ledger.deliver(books.delivery(usage)).await.unwrap();
    }
    // Other tests' transactions in the same cluster may hold deliveries back a little.
    let mut events = books.ledger.live_latest(10).await.unwrap().events;
    while events.len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        events = books.ledger.live_latest(10).await.unwrap().events;
    }
    let models = |event: usize| events[event].model_names.clone();
    assert_eq!(
        (models(0), models(1)),
        (names.map(str::to_owned).into(), vec!["m".to_owned()])
    );
}
