//! Invariants 4, 5, 12 and 13: append only, double entry, audit, ready to shard. And pages.

use std::collections::HashMap;

use ledger::{Entrance, GrantRefusal, ReasonFault, UnknownCursor};
use ledger::{Ledger, SealingKey, Settings};
use shared::api::{EntryKind, HistoryFilter, HistoryItem, Page};
use shared::clock::Timestamp;
use shared::ids::IdError;
use shared::tokens::Tokens;
use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};

use crate::clock::Clock;
use crate::usage_sums::sum_up_all;
use crate::{Books, actor, message, points, refusal, sample, user};

#[tokio::test]
async fn the_database_refuses_to_change_what_is_append_only() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    let mut other = books.delivery(sample());
    other.entrance = Entrance::Langfuse;
    books.ledger.deliver(other).await.unwrap();
    for (table, column) in [
        ("journal_entry", "amount_nano"),
        ("price_version", "input_nano"),
        ("claim", "message"),
        ("message_event", "kind"),
        ("audit_log", "actor"),
    ] {
        for statement in [
            format!("update {table} set {column} = {column}"),
            format!("delete from {table}"),
            format!("truncate {table}"),
        ] {
            let refused = sqlx::query(AssertSqlSafe(statement.clone()))
                .execute(&books.pool)
                .await;
            let error = refused.expect_err(&statement).to_string();
            assert!(error.contains("append-only"), "{statement}: {error}");
        }
    }
}

#[tokio::test]
async fn the_database_refuses_entries_that_cannot_be() {
    const PLACES: &str =
        "entry, kind, amount_nano, message, message_id, lines, cost_nano, owed_nano, basis_nano,
        cap_nano, corrects_entry, follows_entry, reason, actor, hash";
    let books = Books::open().await;
    let enter = async |row: [&str; 15]| {
        let statement = format!(
            "insert into journal_entry (account_id, recorded_at, occurred_at, balance_after_nano, {PLACES})
             values (gen_random_uuid(), now(), now(), 0, {})",
            row.join(", ")
        );
        sqlx::query(AssertSqlSafe(statement))
            .execute(&books.pool)
            .await
    };
    let (none, id, hash) = ("null", "gen_random_uuid()", "sha256('')");
    let (m, lines, why) = ("'m'", "'[]'", "'a reason'");
    #[rustfmt::skip]
    let sound = [
        ["1", "'charge'", "-5", id, m, lines, none, none, none, none, none, none, none, none, hash],
        ["2", "'correction'", "-5", id, m, lines, "9", "9", "0", "0", "1", "1", none, none, hash],
        ["2", "'refund'", "5", id, none, lines, "9", "4", "9", "4", "1", "1", why, why, hash],
        ["2", "'rerate'", "-5", id, none, lines, "9", "9", "0", "0", "1", "1", why, why, hash],
        ["1", "'grant'", "5", none, none, none, none, none, none, none, none, none, why, why, hash],
        ["2", "'expiry'", "-5", none, none, none, none, none, none, none, "1", none, why, why, hash],
        ["1", "'adjustment'", "-5", none, none, none, none, none, none, none, none, none, why, why, hash],
    ];
    // Of which of them, what is otherwise.
    let unsound: [(usize, usize, &str); 33] = [
        (0, 0, "0"),
        (0, 1, "'gift'"),
        (0, 2, "5"),
        (0, 3, none),
        (0, 4, none),
        (0, 5, none),
        (0, 5, "'{}'"),
        (0, 6, "5"),
        (0, 10, "1"),
        (0, 11, "1"),
        (0, 14, "'short'"),
        (1, 4, none),
        (1, 6, none),
        (1, 7, "10"),
        (1, 7, "-1"),
        (1, 8, "-1"),
        (1, 9, "-1"),
        (1, 10, none),
        (1, 11, none),
        (1, 11, "2"),
        (2, 2, "-5"),
        (2, 2, "0"),
        (2, 3, none),
        (2, 10, "2"),
        (2, 11, none),
        (2, 12, none),
        (2, 13, none),
        (3, 2, "0"),
        (4, 2, "0"),
        (4, 3, id),
        (5, 2, "5"),
        (5, 10, none),
        (6, 2, "0"),
    ];
    for row in sound {
        enter(row).await.unwrap();
    }
    for (row, place, value) in unsound {
        let mut row = sound[row];
        row[place] = value;
        let error = enter(row).await.expect_err(&row.join(", "));
        let error = error.into_database_error().expect("Postgres's own no");
        assert_eq!(error.constraint(), Some("journal_entry_sound"), "{row:?}");
    }
}

#[tokio::test]
async fn all_accounts_always_sum_to_zero() {
    let books = Books::open().await;
    books.set_price("gpt-4", "30", "60").await;
    books.grant("user_789", "1000").await;
    books.grant("user_789", "-7.5").await;
    books
        .ledger
        .deliver(books.delivery(sample()))
        .await
        .unwrap();
    let by_account: Vec<(String, i64)> =
        sqlx::query_as("select account, sum(amount_nano)::bigint from posting group by account")
            .fetch_all(&books.pool)
            .await
            .unwrap();
    let totals: HashMap<_, _> = by_account.into_iter().collect();
    assert_eq!(totals.values().sum::<i64>(), 0);
    assert_eq!(totals["revenue"], points("93").nano());
    assert_eq!(totals["issuance"], points("-1000").nano());
    assert_eq!(totals["adjustment"], points("7.5").nano());
}

#[tokio::test]
async fn every_account_owned_table_can_be_sharded_by_account() {
    let books = Books::open().await;
    let unshardable: Vec<(String, String)> = sqlx::query_as(
        "select i.indrelid::regclass::text, i.indexrelid::regclass::text
         from pg_index i join pg_class c on c.oid = i.indrelid
         join pg_attribute owner on owner.attrelid = i.indrelid and owner.attname = 'account_id'
         where i.indisunique and c.relnamespace = 'public'::regnamespace
             and not owner.attnum = any(i.indkey)
             -- An id names the account that it was charged on, but the same message under two users must collide.
             and c.relname not in ('claim', 'message_event')",
    )
    .fetch_all(&books.pool)
    .await
    .unwrap();
    assert!(unshardable.is_empty(), "{unshardable:?}");
    let owned: i64 = sqlx::query_scalar(
        "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
         where a.attname = 'account_id' and c.relkind in ('r', 'p')
             and c.relname in ('account', 'journal_entry', 'credit', 'hold')",
    )
    .fetch_one(&books.pool)
    .await
    .unwrap();
    assert_eq!(owned, 4);
}

#[tokio::test]
async fn entries_land_in_the_partition_of_their_month() {
    let books = Books::open().await;
    books.grant("u", "1").await;
    let partition: String =
        sqlx::query_scalar("select tableoid::regclass::text from journal_entry")
            .fetch_one(&books.pool)
            .await
            .unwrap();
    let month: String = sqlx::query_scalar("select to_char(now() at time zone 'utc', 'YYYY_MM')")
        .fetch_one(&books.pool)
        .await
        .unwrap();
    assert_eq!(partition, format!("journal_entry_{month}"));
    // Making them again changes nothing.
    books.ledger.maintain().await.unwrap();
}

/// An entry of a clock that was wrong for a moment: when that month comes, the ledger goes on.
#[tokio::test]
async fn a_month_of_which_the_default_partition_has_entries_stays_there() {
    let books = Books::open().await;
    let year_ahead = OffsetDateTime::now_utc() + Duration::days(365);
    sqlx::query(
        "insert into journal_entry (account_id, entry, recorded_at, occurred_at, kind, amount_nano,
             balance_after_nano, reason, actor, hash)
         values (gen_random_uuid(), 1, $1, $1, 'grant', 1, 1, 'a reason', 'somebody', sha256(''))",
    )
    .bind(year_ahead)
    .execute(&books.pool)
    .await
    .unwrap();
    let make = sqlx::query("select ensure_partitions('journal_entry', 14)").execute(&books.pool);
    make.await.unwrap();
    let partition: String =
        sqlx::query_scalar("select tableoid::regclass::text from journal_entry")
            .fetch_one(&books.pool)
            .await
            .unwrap();
    assert_eq!(partition, "journal_entry_default");
    let after: Option<String> =
        sqlx::query_scalar("select to_regclass('journal_entry_' || to_char($1, 'YYYY_MM'))::text")
            .bind(year_ahead + Duration::days(40))
            .fetch_one(&books.pool)
            .await
            .unwrap();
    assert!(after.is_some(), "the months around it have their own");
}

#[tokio::test]
async fn administrative_changes_are_audited_with_the_values_before_and_after() {
    let books = Books::open().await;
    books.set_price("m", "1", "2").await;
    books.set_price("m", "3", "4").await;
    books.grant("u", "5").await;
    let log = books.ledger.audit_log(None, 10).await.unwrap().items;
    let actions: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["points.add", "price.publish", "price.publish", "key.create"]
    );
    assert_eq!(log[0].after.as_ref().unwrap()["points"], 5);
    assert_eq!(log[1].before.as_ref().unwrap()["rates"]["input"], 1);
    assert_eq!(log[1].after.as_ref().unwrap()["rates"]["input"], 3);
    assert_eq!(
        (log[1].actor.as_str(), log[1].origin.as_str()),
        ("tester", "test")
    );
}

#[tokio::test]
async fn a_refused_change_leaves_no_trace_in_books_or_audit() {
    let books = Books::open().await;
    books.grant("u", "9000000000").await;
    let too_much = books
        .ledger
        .add_points(&user("u"), points("9000000000"), "more", &actor())
        .await;
    assert_eq!(refusal(too_much), GrantRefusal::TooManyPoints);
    let nothing = books
        .ledger
        .add_points(&user("u"), points("0"), "nothing", &actor())
        .await;
    assert_eq!(refusal(nothing), GrantRefusal::NoPoints);
    let silent = books
        .ledger
        .add_points(&user("u"), points("1"), " ", &actor())
        .await;
    let unreadable = ReasonFault(IdError::Empty);
    assert_eq!(refusal(silent), GrantRefusal::Reason(unreadable));
    assert_eq!(
        books.ledger.audit_log(None, 10).await.unwrap().items.len(),
        2
    );
    assert_eq!(books.balance("u").await, points("9000000000"));
    books.assert_verified().await;
}

#[tokio::test]
async fn history_is_paged_by_key_and_filtered() {
    let books = Books::open().await;
    books.set_price("a", "1", "1").await;
    books.set_price("b", "1", "1").await;
    books.grant("u", "100").await;
    for number in 0..6 {
        let model = if number % 2 == 0 { "a" } else { "B" };
        let mut used = message(&format!("m{number}"), "u", model, Tokens::new(1000, 0));
        used.occurred_at = Some(
            format!("2024-01-0{}T00:00:00Z", number + 1)
                .parse()
                .unwrap(),
        );
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    let page = async |filter: &HistoryFilter, cursor: Option<&str>, limit| {
        books
            .ledger
            .history(&user("u"), filter, cursor, limit)
            .await
            .unwrap()
    };
    let everything = HistoryFilter::default();
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        let page = page(&everything, cursor.as_deref(), 3).await;
        assert!(page.items.len() <= 3);
        entries.extend(page.items.iter().map(|item| item.entry));
        // A charge that arrives between two pages shifts nothing.
        books
            .ledger
            .deliver(books.delivery(message(
                &format!("new{}", entries.len()),
                "u",
                "a",
                Tokens::new(1, 0),
            )))
            .await
            .unwrap();
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(entries, [7, 6, 5, 4, 3, 2, 1]);

    let model_b = HistoryFilter {
        model_name: Some("b".parse().unwrap()),
        ..HistoryFilter::default()
    };
    assert_eq!(page(&model_b, None, 100).await.items.len(), 3);
    let days = HistoryFilter {
        from: Some("2024-01-02T00:00:00Z".parse().unwrap()),
        to: Some("2024-01-04T00:00:00Z".parse().unwrap()),
        ..HistoryFilter::default()
    };
    assert_eq!(
        page(&days, None, 100).await.items.len(),
        2,
        "from is inclusive, to exclusive"
    );
    let grants = HistoryFilter {
        kind: Some(EntryKind::Grant),
        ..HistoryFilter::default()
    };
    let granted = page(&grants, None, 100).await.items;
    assert_eq!((granted.len(), granted[0].points), (1, points("100")));
    assert_eq!(
        refusal(
            books
                .ledger
                .history(&user("u"), &everything, Some("x"), 3)
                .await
        ),
        UnknownCursor
    );
}

#[tokio::test]
async fn however_far_back_a_page_lies_nothing_is_left_out() {
    let begun = Timestamp::new(OffsetDateTime::now_utc());
    let (books, clock) = Clock::open_books(begun).await;
    books.set_price("a", "1", "1").await;
    books.set_price("b", "1", "1").await;
    books.grant("u", "100").await;
    let mut times = Vec::new();
    for number in 0..90_i64 {
        // Half a year, in which every ninth time the clock was set back.
        let back = Duration::minutes(if number % 9 == 8 { 50 } else { 0 });
        let at =
            begun.moment() + Duration::hours(number / 3 * 144) + Duration::minutes(number) - back;
        clock.set(Timestamp::new(at)).await;
        books.ledger.maintain().await.unwrap();
        let model = if number < 20 { "a" } else { "b" };
        let mut used = message(&format!("m{number}"), "u", model, Tokens::new(1000, 0));
        // Some are told late.
        let late = Duration::days(if number % 13 == 12 { 40 } else { 0 });
        used.occurred_at = Some(Timestamp::new(at - late));
        let mut delivery = books.delivery(used);
        delivery.received_at = Timestamp::new(at);
        books.ledger.deliver(delivery).await.unwrap();
        times.push(at);
        if number == 50 {
            sum_up_all(&books).await;
        }
        // Seldom.
        if number % 30 == 11 {
            let newest = page_of(&books, None, 1).await.items.remove(0).entry;
            books
                .ledger
                .refund(&user("u"), newest, None, "test", &actor())
                .await
                .unwrap();
            books.grant("u", "1").await;
        }
    }
    let reader = user("u");
    let listed = async |filter: &HistoryFilter, limit| {
        let (mut items, mut cursor) = (Vec::new(), None);
        loop {
            let page = books
                .ledger
                .history(&reader, filter, cursor.as_deref(), limit)
                .await
                .unwrap();
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return items;
            }
        }
    };
    let all = listed(&HistoryFilter::default(), 1000).await;
    let entries: Vec<_> = all.iter().map(|item| item.entry).collect();
    assert!(entries.iter().copied().eq((1..=97).rev()), "{entries:?}");
    let mut filters = Vec::new();
    let ends = times.iter().step_by(15).map(|at| Some(Timestamp::new(*at)));
    for to in ends.chain([None]) {
        for model in [None, Some("a"), Some("b")] {
            let kinds = [EntryKind::Charge, EntryKind::Grant, EntryKind::Refund];
            for kind in kinds.map(Some).into_iter().chain([None]) {
                filters.push(HistoryFilter {
                    to,
                    kind,
                    model_name: model.map(|model| model.parse().unwrap()),
                    ..HistoryFilter::default()
                });
            }
        }
    }
    // With sums of half the time, and then of all; days were made of what is long past.
    for limits in [&[5][..], &[5, 1000]] {
        for filter in &filters {
            let model = filter.model_name.as_ref();
            let expected = all.iter().filter(|item| {
                // A refund is of the lines that it gives back.
                let charge = item.corrects_entry.unwrap_or(item.entry);
                let charge = all.iter().find(|item| item.entry == charge);
                let consumption = charge.and_then(|charge| charge.consumption.as_ref());
                let mut lines = consumption.iter().flat_map(|it| &it.lines);
                filter.to.is_none_or(|to| item.occurred_at < to)
                    && filter.kind.is_none_or(|kind| item.kind == kind)
                    && model.is_none_or(|model| lines.any(|line| line.model_name == *model))
            });
            let expected: Vec<_> = expected.map(|item| item.entry).collect();
            for limit in limits.iter().copied() {
                let found = listed(filter, limit).await;
                let found: Vec<_> = found.iter().map(|item| item.entry).collect();
                assert_eq!(found, expected, "{filter:?}, {limit} at a time");
            }
        }
        sum_up_all(&books).await;
        books.ledger.maintain().await.unwrap();
    }
}

async fn page_of(books: &Books, model: Option<&str>, limit: u32) -> Page<HistoryItem> {
    let filter = HistoryFilter {
        model_name: model.map(|model| model.parse().unwrap()),
        ..HistoryFilter::default()
    };
    let user = user("u");
    let page = books.ledger.history(&user, &filter, None, limit);
    page.await.unwrap()
}

/// Reading all that came since would take as long as the journal is.
#[tokio::test]
async fn the_sums_say_where_a_model_was_last_used_and_the_journal_only_what_they_have_not_yet() {
    let begun = Timestamp::new(OffsetDateTime::now_utc());
    let (books, clock) = Clock::open_books(begun).await;
    books.set_price("old", "1", "1").await;
    books.set_price("new", "1", "1").await;
    let charge = async |id: &str, model: &str| {
        // A process that begins now does not go by an earlier reading of the clock.
        let ledger = books.replica().await;
        let used = message(id, "u", model, Tokens::new(1000, 0));
        ledger.deliver(books.delivery(used)).await.unwrap();
    };
    charge("m0", "old").await;
    charge("m1", "new").await;
    clock
        .set(Timestamp::new(begun.moment() + Duration::days(3)))
        .await;
    sum_up_all(&books).await;
    charge("m2", "old").await;
    let found = async || page_of(&books, Some("old"), 10).await.items.len();
    assert_eq!(found().await, 2);
    // Where the sums have nothing, nothing is looked for.
    sqlx::query(
        "delete from usage_sum where sum_dimension_id in (
             select sum_dimension_id from sum_dimension where model_key = 'old')",
    )
    .execute(&books.pool)
    .await
    .unwrap();
    assert_eq!(found().await, 1);
}

#[tokio::test]
async fn accounts_are_searched_by_their_beginning_and_paged() {
    let books = Books::open().await;
    for name in ["anna", "ann%", "bob", "an_", "张三"] {
        books.grant(name, "1").await;
    }
    let find = async |search: &str| -> Vec<String> {
        let page = books.ledger.accounts(Some(search), None, 10).await.unwrap();
        page.items
            .iter()
            .map(|account| account.user_id.to_string())
            .collect()
    };
    assert_eq!(find("an").await, ["an_", "ann%", "anna"]);
    assert_eq!(find("ann%").await, ["ann%"]);
    assert_eq!(find("an_").await, ["an_"]);
    assert_eq!(find("张").await, ["张三"]);
    let first = books.ledger.accounts(None, None, 3).await.unwrap();
    let second = books
        .ledger
        .accounts(None, first.next_cursor.as_deref(), 3)
        .await
        .unwrap();
    assert_eq!(
        (first.items.len(), second.items.len(), second.next_cursor),
        (3, 2, None)
    );
}

#[tokio::test]
async fn more_requests_than_connections_wait_for_each_other_and_never_for_ever() {
    let books = Books::open().await;
    let settings = Settings {
        pool_connections_max: 2,
        connection_wait_max: std::time::Duration::from_secs(60),
        ..Settings::default()
    };
    let ledger = Ledger::connect(
        books.options.clone(),
        SealingKey::from_bytes([7; 32]),
        settings,
    )
    .await
    .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let user = user(&format!("u{}", n % 5));
            let points = "1".parse().unwrap();
            let given = ledger.add_points(&user, points, "test", &actor()).await;
            given.unwrap();
            let limited = ledger.set_debt_limit(&user, points, &actor()).await;
            limited.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for n in 0..5 {
        assert_eq!(books.balance(&format!("u{n}")).await, "8".parse().unwrap());
    }
    books.assert_verified().await;
}
