//! Sums by period, kind, model and source, without a look at the journal.

use shared::api::{EntryKind, RollupFilter, RollupPeriod, RollupSum, Rollups};
use shared::clock::Timestamp;
use shared::problem::{FieldFault, Problem};
use shared::tokens::Tokens;
use time::{Duration, OffsetDateTime};

use crate::{Books, actor, message, now, points, problem, user};

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

/// Two models, two users, a refund and grants.
async fn busy() -> Books {
    let books = Books::open().await;
    books.set_price("GPT-4", "1", "2").await;
    books.set_price("other", "10", "0").await;
    books.grant("u", "100").await;
    for (id, name, model, tokens) in [
        ("a", "u", "GPT-4", Tokens::new(1000, 500)),
        ("b", "v", "gpt-4", Tokens::new(2000, 0)),
        ("c", "u", "other", Tokens::new(1000, 0)),
    ] {
        let used = message(id, name, model, tokens);
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    books
        .ledger
        .refund(&user("u"), 2, Some(points("0.5")), "test", &actor())
        .await
        .unwrap();
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
    let books = busy().await;
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
    let books = busy().await;
    // Entries of an hour, two and 25 hours ago, as if time had passed.
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
    for (model, user_id, hours) in [("gpt-4", "u", 1), ("gpt-4", "v", 2), ("other", "u", 25)] {
        let moved = sqlx::query(
            "update rollup set hour = hour - make_interval(hours => $1)
             where kind = 'charge' and model_key = $2
                 and account_id = (select account_id from account where user_id = $3)",
        )
        .bind(hours)
        .bind(model)
        .bind(user_id)
        .execute(&books.pool)
        .await
        .unwrap();
        assert_eq!(moved.rows_affected(), 1);
    }
    let mut filter = last_hours(30);
    let hours = books.ledger.rollups(&filter).await.unwrap();
    assert_eq!(at(&hours), [(5, 1), (28, 1), (29, 1)]);
    filter.by = RollupPeriod::Day;
    let days = books.ledger.rollups(&filter).await.unwrap();
    assert_eq!(at(&days), [(0, 1), (24, 2)]);
    let mut narrow = last_hours(2);
    narrow.to = narrow.from;
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
        problem(ask(1001, RollupPeriod::Hour).await),
        Problem::field(
            "by",
            FieldFault::NotOneOf {
                allowed: "day".into()
            }
        )
    );
    ask(1001, RollupPeriod::Day).await.unwrap();
    ask(23_900, RollupPeriod::Day).await.unwrap();
    assert_eq!(
        problem(ask(24_001, RollupPeriod::Day).await),
        Problem::field("to", FieldFault::TooLarge)
    );
    let mut backwards = last_hours(1);
    std::mem::swap(&mut backwards.from, &mut backwards.to);
    assert!(matches!(
        problem(books.ledger.rollups(&backwards).await),
        Problem::InvalidField { field, fault: FieldFault::NotLater { .. } } if field == "to"
    ));
}

/// It counts whole when the range ends within it, and not at all when the range ends where it begins.
#[tokio::test]
async fn a_range_is_of_whole_hours() {
    let books = busy().await;
    let hour: OffsetDateTime = sqlx::query_scalar("select min(hour) from rollup")
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
    let report = books.ledger.verify(None).await.unwrap();
    assert_eq!((report.entries, report.consumptions), (2, 2));
    let sums = books.ledger.rollups(&last_hours(2)).await.unwrap().totals;
    assert_eq!((sums[0].input_tokens, sums[0].output_tokens), (14, 48));
    books.assert_verified().await;
}
