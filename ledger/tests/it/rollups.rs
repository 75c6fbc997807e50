//! Sums by period, kind, model and source, without a look at the journal.

use ledger::{Entrance, RollupRefusal};
use shared::api::{EntryKind, RollupFilter, RollupPeriod, RollupSum, Rollups};
use shared::clock::Timestamp;
use shared::tokens::Tokens;
use shared::usage::Evidence;
use time::{Duration, OffsetDateTime};

use crate::clock::Clock;
use crate::{Books, actor, message, now, points, refusal, user};

fn last_hours(hours: i64) -> RollupFilter {
    RollupFilter {
        from: Timestamp::new(now().moment() - Duration::hours(hours)),
        to: Timestamp::new(now().moment() + Duration::hours(1)),
        by: RollupPeriod::Hour,
        user_id: None,
        model_name: None,
        source: None,
        kind: None,
    }
}

/// Two models, two users, a refund and grants. Sums are kept up to the charge of that number.
async fn busy(summed_up: usize) -> Books {
    let books = Books::open().await;
    books.set_price("GPT-4", "1", "2").await;
    books.set_price("other", "10", "0").await;
    books.grant("u", "100").await;
    let charges = [
        ("a", "u", "GPT-4", Tokens::new(1000, 500)),
        ("b", "v", "gpt-4", Tokens::new(2000, 0)),
        ("c", "u", "other", Tokens::new(1000, 0)),
    ];
    for (number, (id, name, model, tokens)) in charges.into_iter().enumerate() {
        if number == summed_up {
            books.ledger.sum_up().await.unwrap();
        }
        let used = message(id, name, model, tokens);
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    books
        .ledger
        .refund(&user("u"), 2, Some(points("0.5")), "test", &actor())
        .await
        .unwrap();
    if summed_up > charges.len() {
        books.ledger.sum_up().await.unwrap();
    }
    books
}

fn told(sums: &[RollupSum]) -> Vec<(EntryKind, String, i64, String)> {
    sums.iter()
        .map(|sum| {
            let name = sum.model_name.clone().or(sum.source.clone());
            (
                sum.kind,
                name.unwrap_or_default(),
                sum.entries,
                sum.points.to_string(),
            )
        })
        .collect()
}

fn row(
    kind: EntryKind,
    name: &str,
    entries: i64,
    points: &str,
) -> (EntryKind, String, i64, String) {
    (kind, name.into(), entries, points.into())
}

#[tokio::test]
async fn sums_are_told_by_kind_model_and_source() {
    // Wherever the sums end that are kept already.
    for summed_up in [0, 1, 2, 4] {
        sums_of_a_busy_day_are_told(&busy(summed_up).await).await;
    }
}

async fn sums_of_a_busy_day_are_told(books: &Books) {
    let rollups = books.ledger.rollups(&last_hours(1)).await.unwrap();
    assert_eq!(
        told(&rollups.totals),
        [
            row(EntryKind::Charge, "", 3, "-14"),
            row(EntryKind::Refund, "", 1, "0.5"),
            row(EntryKind::Grant, "", 1, "100"),
        ]
    );
    assert_eq!(
        told(&rollups.models),
        [
            row(EntryKind::Charge, "other", 1, "-10"),
            row(EntryKind::Charge, "gpt-4", 2, "-4"),
        ]
    );
    assert_eq!(
        told(&rollups.sources),
        [row(EntryKind::Charge, "test", 3, "-14")]
    );
    let charges = &rollups.totals[0];
    assert_eq!((charges.input_tokens, charges.output_tokens), (4000, 500));

    let totals = async |change: fn(&mut RollupFilter)| {
        let mut filter = last_hours(1);
        change(&mut filter);
        told(&books.ledger.rollups(&filter).await.unwrap().totals)
    };
    assert_eq!(
        totals(|filter| filter.user_id = Some(user("v"))).await,
        [row(EntryKind::Charge, "", 1, "-2")]
    );
    assert_eq!(
        totals(|filter| filter.model_name = "OTHER".parse().ok()).await,
        [row(EntryKind::Charge, "", 1, "-10")]
    );
    assert_eq!(
        totals(|filter| filter.kind = Some(EntryKind::Grant)).await,
        [row(EntryKind::Grant, "", 1, "100")]
    );
    assert_eq!(
        totals(|filter| filter.source = Some("test".into())).await,
        [row(EntryKind::Charge, "", 3, "-14")]
    );
    assert_eq!(
        totals(|filter| filter.source = Some("nobody".into())).await,
        []
    );
}

#[tokio::test]
async fn days_begin_when_the_range_does() {
    let (books, clock) = Clock::open_books(now()).await;
    books.set_price("m", "1", "2").await;
    let at = |rollups: &Rollups| -> Vec<(i64, i64)> {
        let from = rollups.from.moment();
        rollups
            .periods
            .iter()
            .filter(|sum| sum.kind == EntryKind::Charge)
            .map(|sum| {
                let start = sum.start.unwrap().moment();
                ((start - from).whole_hours(), sum.entries)
            })
            .collect()
    };
    let mut filter = last_hours(30);
    for (number, hours) in [25, 2, 1, 0].into_iter().enumerate() {
        let time = filter.to.moment() - Duration::hours(hours + 1);
        clock.set(Timestamp::new(time)).await;
        // A process that begins now does not go by an earlier reading of the clock.
        let ledger = books.replica().await;
        let used = message(&format!("m{hours}"), "u", "m", Tokens::new(1000, 0));
        ledger.deliver(books.delivery(used)).await.unwrap();
        if number == 1 {
            ledger.sum_up().await.unwrap();
        }
    }
    let hours = books.ledger.rollups(&filter).await.unwrap();
    assert_eq!(at(&hours), [(5, 1), (28, 1), (29, 1), (30, 1)]);
    filter.by = RollupPeriod::Day;
    let days = books.ledger.rollups(&filter).await.unwrap();
    assert_eq!(at(&days), [(0, 1), (24, 3)]);
    let narrow = RollupFilter {
        from: Timestamp::new(filter.to.moment() - Duration::hours(3)),
        to: Timestamp::new(filter.to.moment() - Duration::hours(3)),
        ..filter
    };
    assert_eq!(
        at(&books.ledger.rollups(&narrow).await.unwrap()),
        [(0, 1)],
        "the hour that a moment lies in"
    );
}

#[tokio::test]
async fn a_range_is_bounded() {
    let books = Books::open().await;
    let ask = async |hours: i64, by| {
        let filter = RollupFilter {
            by,
            ..last_hours(hours)
        };
        books.ledger.rollups(&filter).await
    };
    ask(900, RollupPeriod::Hour).await.unwrap();
    assert_eq!(
        refusal(ask(1001, RollupPeriod::Hour).await),
        RollupRefusal::TooManyHours
    );
    ask(1001, RollupPeriod::Day).await.unwrap();
    ask(23_900, RollupPeriod::Day).await.unwrap();
    assert_eq!(
        refusal(ask(24_001, RollupPeriod::Day).await),
        RollupRefusal::TooManyDays
    );
    let mut backwards = last_hours(1);
    std::mem::swap(&mut backwards.from, &mut backwards.to);
    assert_eq!(
        refusal(books.ledger.rollups(&backwards).await),
        RollupRefusal::EmptyRange {
            from: backwards.from
        }
    );
}

/// It counts whole when the range ends within it, and not at all when the range ends where it begins.
#[tokio::test]
async fn a_range_is_of_whole_hours() {
    let books = busy(1).await;
    let hour: OffsetDateTime =
        sqlx::query_scalar("select date_trunc('hour', min(recorded_at), 'utc') from journal_entry")
            .fetch_one(&books.pool)
            .await
            .unwrap();
    let until = async |to| {
        let filter = RollupFilter {
            from: Timestamp::new(hour - Duration::hours(1)),
            to: Timestamp::new(to),
            ..last_hours(1)
        };
        books.ledger.rollups(&filter).await.unwrap().totals
    };
    assert_eq!(until(hour).await, []);
    assert_ne!(until(hour + Duration::minutes(1)).await, []);
}

#[tokio::test]
async fn tokens_of_every_category_are_summed() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let tokens = Tokens {
        input: 1,
        cached_input: 2,
        cache_write: 4,
        output: 8,
        reasoning: 16,
    };
    let used = message("a", "u", "m", tokens);
    books.ledger.deliver(books.delivery(used)).await.unwrap();
    let used = message("b", "v", "m", tokens);
    books.ledger.deliver(books.delivery(used)).await.unwrap();
    let sums = books.ledger.rollups(&last_hours(2)).await.unwrap().totals;
    assert_eq!((sums[0].input_tokens, sums[0].output_tokens), (14, 48));
    books.assert_verified().await;
}

/// What the better report of a message changes is a correction, whose tokens may be fewer than none.
#[tokio::test]
async fn a_correction_is_told_as_a_difference() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let mut estimate = message("a", "u", "m", Tokens::new(900, 100));
    estimate.evidence = Evidence::Estimated;
    for (entrance, used) in [
        (Entrance::Gateway, estimate),
        (
            Entrance::Langfuse,
            message("a", "u", "m", Tokens::new(600, 100)),
        ),
    ] {
        let mut delivery = books.delivery(used);
        delivery.entrance = entrance;
        books.ledger.deliver(delivery).await.unwrap();
        let rollups = books.ledger.rollups(&last_hours(1)).await.unwrap();
        assert_eq!(rollups.totals[0].points, points("-1"), "{entrance:?}");
    }
    books.ledger.sum_up().await.unwrap();
    let rollups = books.ledger.rollups(&last_hours(1)).await.unwrap();
    let expected = |name| {
        [
            row(EntryKind::Charge, name, 1, "-1"),
            row(EntryKind::Correction, name, 1, "0.3"),
        ]
    };
    assert_eq!(told(&rollups.totals), expected(""));
    assert_eq!(told(&rollups.models), expected("m"));
    assert_eq!(told(&rollups.sources), expected("test"));
    let tokens: Vec<_> = rollups
        .totals
        .iter()
        .map(|sum| (sum.input_tokens, sum.output_tokens))
        .collect();
    assert_eq!(tokens, [(900, 100), (-300, 0)]);
}
