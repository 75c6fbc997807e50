//! Invariant 9: prices do not rewrite history.

use ledger::{EstimateRefusal, PriceRefusal};
use shared::api::HistoryFilter;
use shared::clock::Timestamp;
use shared::price::Unpriced;
use shared::tokens::Tokens;

use crate::{Books, actor, message, now, points, price, refusal, sample, user};

#[tokio::test]
async fn a_charge_names_the_version_that_was_in_force_when_the_message_happened() {
    let books = Books::open().await;
    let first = books.set_price("gpt-4", "30", "60").await;
    assert_eq!((first.version, first.effective_from), (1, None));
    let between = now();
    let second = books.set_price("gpt-4", "300", "600").await;
    assert_eq!(second.version, 2);

    let late = shared::usage::MessageUsage {
        occurred_at: Some(between),
        ..sample()
    };
    let answer = books.ledger.deliver(books.delivery(late)).await.unwrap();
    assert_eq!(
        answer.points_deducted,
        points("93"),
        "a late arrival keeps its old price"
    );

    let after = message("after", "user_789", "gpt-4", Tokens::new(1500, 800));
    let answer = books.ledger.deliver(books.delivery(after)).await.unwrap();
    assert_eq!(answer.points_deducted, points("930"));

    let page = books
        .ledger
        .history(&user("user_789"), &HistoryFilter::default(), None, 10)
        .await
        .unwrap();
    let versions: Vec<_> = page
        .items
        .iter()
        .map(|item| item.consumption.as_ref().unwrap().lines[0].price_version)
        .collect();
    assert_eq!(versions, [2, 1]);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_message_from_the_future_is_priced_as_of_now() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let next_year = Timestamp::new(now().moment() + time::Duration::days(365));
    let scheduled = ledger::NewPrice {
        effective_from: Some(next_year),
        ..price("m", "5", "5")
    };
    books
        .ledger
        .publish_price(scheduled, &actor())
        .await
        .unwrap();
    let mut early = message("early", "u", "m", Tokens::new(1000, 0));
    early.occurred_at = Some(Timestamp::new(next_year.moment() + time::Duration::days(1)));
    let answer = books.ledger.deliver(books.delivery(early)).await.unwrap();
    assert_eq!(answer.points_deducted, points("1"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_start_in_the_past_and_an_outdated_author_are_refused() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let yesterday = Timestamp::new(now().moment() - time::Duration::days(1));
    let backdated = ledger::NewPrice {
        effective_from: Some(yesterday),
        ..price("m", "2", "2")
    };
    assert_eq!(
        refusal(books.ledger.publish_price(backdated, &actor()).await),
        PriceRefusal::StartInThePast
    );
    let outdated = ledger::NewPrice {
        expected_version: Some(0),
        ..price("M", "2", "2")
    };
    assert_eq!(
        refusal(books.ledger.publish_price(outdated, &actor()).await),
        PriceRefusal::Outdated
    );
    let current = ledger::NewPrice {
        expected_version: Some(1),
        ..price("M", "2", "2")
    };
    assert_eq!(
        books
            .ledger
            .publish_price(current, &actor())
            .await
            .unwrap()
            .version,
        2
    );
}

#[tokio::test]
async fn another_process_charges_a_new_price_at_once() {
    let books = Books::open().await;
    let replica = books.replica().await;
    books.set_price("m", "1", "1").await;
    let one = replica
        .deliver(books.delivery(message("1", "u", "m", Tokens::new(1000, 0))))
        .await
        .unwrap();
    books.set_price("m", "2", "2").await;
    let two = replica
        .deliver(books.delivery(message("2", "u", "m", Tokens::new(1000, 0))))
        .await
        .unwrap();
    assert_eq!(
        (one.points_deducted, two.points_deducted),
        (points("1"), points("2"))
    );
    let estimate = replica
        .estimate(None, &"m".parse().unwrap(), Some(1000), Some(0))
        .await
        .unwrap();
    assert_eq!(estimate.estimated_points, points("2"));
}

#[tokio::test]
async fn prices_published_under_load_never_split_a_moment() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let replica = books.replica().await;
    let publishing = async {
        for price in 2..12 {
            let text = price.to_string();
            books.set_price("m", &text, &text).await;
        }
    };
    let charging = async {
        for number in 0..200 {
            let ledger = if number % 2 == 0 {
                &books.ledger
            } else {
                &replica
            };
            ledger
                .deliver(books.delivery(message(
                    &format!("m{number}"),
                    "u",
                    "m",
                    Tokens::new(1000, 0),
                )))
                .await
                .unwrap();
        }
    };
    tokio::join!(publishing, charging);
    // Verification prices every charge again by the version in force when it happened.
    books.assert_verified().await;
}

#[tokio::test]
async fn an_estimate_says_where_its_tokens_come_from() {
    use shared::api::EstimateBasis::*;
    let books = Books::open().await;
    let model = "m".parse().unwrap();
    assert_eq!(
        refusal(books.ledger.estimate(None, &model, Some(1), Some(1)).await),
        EstimateRefusal::Unpriced(Unpriced::UnknownModel)
    );
    books.set_price("M", "1", "2").await;
    let estimate = async |name: &str, input, output| {
        books
            .ledger
            .estimate(Some(&user(name)), &model, input, output)
            .await
            .unwrap()
    };
    let given = estimate("u", Some(1000), Some(500)).await;
    assert_eq!(
        (given.basis, given.estimated_points),
        (Request, points("2"))
    );
    assert_eq!(estimate("u", None, None).await.basis, Default);

    for (id, tokens) in [("1", Tokens::new(10, 1)), ("2", Tokens::new(13, 2))] {
        books
            .ledger
            .deliver(books.delivery(message(id, "u", "m", tokens)))
            .await
            .unwrap();
    }
    let own = estimate("u", None, None).await;
    assert_eq!(
        (own.basis, own.input_tokens, own.output_tokens),
        (UserHistory, 12, 2)
    );
    let others = estimate("stranger", None, Some(7)).await;
    assert_eq!(
        (others.basis, others.input_tokens, others.output_tokens),
        (ModelHistory, 12, 7)
    );
}
