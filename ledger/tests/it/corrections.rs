//! Credits that run out, refunds, re-ratings: every change is an entry that names its origin.

use ledger::{Entrance, Grant, RefundRefusal, RerateRefusal, Rerating, UnknownCharge};
use shared::api::{EntryKind, HistoryFilter};
use shared::clock::Timestamp;
use shared::money::Points;
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};

use crate::clock::Clock;
use crate::{Books, actor, message, now, points, refusal, user};

fn in_days(days: i64) -> Option<Timestamp> {
    Some(Timestamp::new(now().moment() + time::Duration::days(days)))
}

async fn give(books: &Books, amount: &str, is_bought: bool, expires_at: Option<Timestamp>) {
    let grant = Grant {
        points: points(amount),
        reason: "test".into(),
        is_bought,
        expires_at,
    };
    books
        .ledger
        .grant(&user("u"), &grant, &actor())
        .await
        .unwrap();
}

async fn spend(books: &Books, id: &str, thousands: u64) {
    let used = message(id, "u", "m", Tokens::new(thousands * 1000, 0));
    books.ledger.deliver(books.delivery(used)).await.unwrap();
}

pub fn everything_priced_by(price_version_ids: &[i64]) -> Rerating {
    Rerating {
        from: "2020-01-01T00:00:00Z".parse().unwrap(),
        to: in_days(1).unwrap(),
        price_version_ids: price_version_ids.to_vec(),
        reason: "the price was wrong".into(),
    }
}

/// What is left of each credit, in the order they came.
async fn left(books: &Books) -> Vec<i64> {
    let nano: Vec<i64> = sqlx::query_scalar("select remaining_nano from credit order by entry")
        .fetch_all(&books.pool)
        .await
        .unwrap();
    nano.into_iter().map(|nano| nano / 1_000_000_000).collect()
}

#[tokio::test]
async fn points_burn_soonest_expiry_first_then_granted_before_bought() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    give(&books, "10", true, None).await;
    give(&books, "10", false, None).await;
    give(&books, "10", false, in_days(30)).await;
    give(&books, "10", true, in_days(7)).await;
    for (id, spent, expected) in [
        ("a", 5, [10, 10, 10, 5]),
        ("b", 10, [10, 10, 5, 0]),
        ("c", 10, [10, 5, 0, 0]),
        ("d", 10, [5, 0, 0, 0]),
        ("e", 10, [0, 0, 0, 0]),
    ] {
        spend(&books, id, spent).await;
        assert_eq!(left(&books).await, expected, "after {id}");
    }
    assert_eq!(books.balance("u").await, points("-5"));
    give(&books, "8", false, None).await;
    assert_eq!(left(&books).await, [0, 0, 0, 0, 3], "a debt is paid first");
    books.assert_verified().await;
}

#[tokio::test]
async fn what_runs_out_is_an_entry_and_the_balance_says_it_before() {
    let (books, clock) = Clock::open_books(now()).await;
    books.set_price("m", "1", "1").await;
    give(&books, "10", false, in_days(7)).await;
    give(&books, "5", true, None).await;
    spend(&books, "a", 4).await;
    let expiring = books.ledger.balance(&user("u")).await.unwrap().expiring;
    assert_eq!((expiring.len(), expiring[0].points), (1, points("6")));

    clock.set(in_days(7).unwrap()).await;
    assert_eq!(books.ledger.expire_credits().await.unwrap(), 1);
    assert_eq!(books.ledger.expire_credits().await.unwrap(), 0);
    let newest = &books
        .ledger
        .history(&user("u"), &HistoryFilter::default(), None, 1)
        .await
        .unwrap()
        .items[0];
    assert_eq!(
        (newest.kind, newest.points, newest.corrects_entry),
        (EntryKind::Expiry, points("-6"), Some(1))
    );
    assert_eq!(books.balance("u").await, points("5"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_charge_never_uses_points_that_ran_out_before_it() {
    let (books, clock) = Clock::open_books(now()).await;
    books.set_price("m", "1", "1").await;
    give(&books, "10", false, in_days(7)).await;
    clock.set(in_days(7).unwrap()).await;
    spend(&books, "a", 4).await;
    assert_eq!(books.balance("u").await, points("-4"));
    books.assert_verified().await;
}

#[tokio::test]
async fn refunds_give_back_what_was_charged_and_never_more() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    give(&books, "10", false, None).await;
    spend(&books, "a", 8).await;
    let refund = async |part: Option<&str>| {
        books
            .ledger
            .refund(&user("u"), 2, part.map(points), "goodwill", &actor())
            .await
    };
    let refundable = async || {
        let left = books.ledger.refundable(&user("u"), &[1, 2, 3]).await;
        left.unwrap()
    };
    assert_eq!(refundable().await, [(2, points("8"))]);
    assert_eq!(refund(Some("3")).await.unwrap().balance, points("5"));
    assert_eq!(refundable().await, [(2, points("5"))]);
    assert_eq!(
        refusal(refund(Some("5.000000001")).await),
        RefundRefusal::MoreThanCharged
    );
    assert_eq!(refund(None).await.unwrap().balance, points("10"));
    assert_eq!(refundable().await, [(2, points("0"))]);
    let origins = books.ledger.entries(&user("u"), &[2, 9]).await.unwrap();
    assert_eq!(origins.len(), 1);
    assert_eq!((origins[0].entry, origins[0].points), (2, points("-8")));
    assert!(origins[0].consumption.is_some());
    assert_eq!(refusal(refund(None).await), RefundRefusal::NoPoints);
    let grant = books
        .ledger
        .refund(&user("u"), 1, None, "not a charge", &actor())
        .await;
    assert_eq!(refusal(grant), RefundRefusal::Charge(UnknownCharge));
    books.assert_verified().await;
}

#[tokio::test]
async fn concurrent_refunds_give_back_once() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    spend(&books, "a", 8).await;
    let replica = books.replica().await;
    let (owner, actor) = (user("u"), actor());
    let answers = futures::future::join_all((0..10).map(|attempt| {
        let ledger = if attempt % 2 == 0 {
            &books.ledger
        } else {
            &replica
        };
        ledger.refund(&owner, 1, None, "twice?", &actor)
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(books.balance("u").await, points("0"));
}

#[tokio::test]
async fn re_rating_shows_the_difference_enters_it_once_and_leaves_other_models_alone() {
    let books = Books::open().await;
    books.set_price("m", "2", "0").await;
    books.set_price("other", "1", "0").await;
    for number in 0..5 {
        spend(&books, &format!("a{number}"), 1).await;
    }
    let other = message("o", "v", "other", Tokens::new(1000, 0));
    books.ledger.deliver(books.delivery(other)).await.unwrap();
    let cheaper = books.set_price("m", "0.5", "0").await;
    let rerating = everything_priced_by(&[cheaper.id]);
    let preview = books.ledger.preview_rerating(&rerating).await.unwrap();
    assert_eq!(preview.len(), 1);
    assert_eq!((preview[0].messages, preview[0].points), (5, points("7.5")));
    assert_eq!(
        books.balance("u").await,
        points("-10"),
        "a preview writes nothing"
    );

    for _ in 0..2 {
        let job = books
            .ledger
            .rerate(rerating.clone(), &actor())
            .await
            .unwrap();
        let job = books.ledger.job(job).await.unwrap();
        assert!(job.finished_at.is_some() && job.error.is_none());
        assert_eq!(books.balance("u").await, points("-2.5"));
    }
    assert!(
        books
            .ledger
            .preview_rerating(&rerating)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(books.balance("v").await, points("-1"));
    let too_much = books
        .ledger
        .refund(
            &user("u"),
            1,
            Some(points("0.6")),
            "more than it costs now",
            &actor(),
        )
        .await;
    assert_eq!(refusal(too_much), RefundRefusal::MoreThanCharged);
    books.assert_verified().await;
}

#[tokio::test]
async fn what_was_given_back_whole_costs_nothing_at_a_higher_price() {
    let books = Books::open().await;
    books.set_price("m", "2", "0").await;
    spend(&books, "whole", 1).await;
    spend(&books, "part", 1).await;
    let user = user("u");
    for (entry, points) in [(1, None), (2, Some(points("1")))] {
        let refund = books
            .ledger
            .refund(&user, entry, points, "sorry", &actor())
            .await;
        refund.unwrap();
    }
    let dearer = books.set_price("m", "3", "0").await;
    let rerating = everything_priced_by(&[dearer.id]);
    books.ledger.rerate(rerating, &actor()).await.unwrap();
    assert_eq!(books.balance("u").await, points("-2"));
    books.assert_verified().await;
}

#[tokio::test]
async fn what_was_free_costs_what_its_new_price_says() {
    let books = Books::open().await;
    books.set_price("m", "0", "0").await;
    spend(&books, "free", 1).await;
    let dearer = books.set_price("m", "3", "0").await;
    let rerating = everything_priced_by(&[dearer.id]);
    books.ledger.rerate(rerating, &actor()).await.unwrap();
    assert_eq!(books.balance("u").await, points("-3"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_re_rating_names_one_price_for_each_model() {
    let books = Books::open().await;
    let [one, other] = [
        books.set_price("m", "1", "0").await,
        books.set_price("m", "2", "0").await,
    ];
    for versions in [vec![], vec![one.id, other.id], vec![one.id, one.id + 1000]] {
        let preview = everything_priced_by(&versions);
        let refused = books.ledger.preview_rerating(&preview).await;
        assert_eq!(refusal(refused), RerateRefusal::Versions, "{versions:?}");
    }
}

/// It was collected while it stood, and had cost nothing that could be given back.
#[tokio::test]
async fn what_is_replaced_while_a_re_rating_is_at_it_is_charged_once() {
    let books = Books::open().await;
    books.set_price("m", "0", "0").await;
    books.set_price("better", "1", "0").await;
    let poor = MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..message("msg", "u", "m", Tokens::new(1000, 0))
    };
    books.ledger.deliver(books.delivery(poor)).await.unwrap();
    let dearer = books.set_price("m", "5", "0").await;
    let mut lock = books.pool.begin().await.unwrap();
    sqlx::query("select from account where user_id = 'u' for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    let waiting = async |count: i64| {
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting)
            .fetch_one(&books.pool)
            .await
            .unwrap()
            < count
        {}
    };
    let mut better = books.delivery(message("msg", "u", "better", Tokens::new(1000, 0)));
    better.entrance = Entrance::Langfuse;
    let ledger = books.ledger.clone();
    let better = tokio::spawn(async move { ledger.deliver(better).await });
    waiting(1).await;
    let (ledger, rerating) = (books.ledger.clone(), everything_priced_by(&[dearer.id]));
    let rerated = tokio::spawn(async move { ledger.rerate(rerating, &actor()).await });
    waiting(2).await;
    lock.commit().await.unwrap();
    better.await.unwrap().unwrap();
    rerated.await.unwrap().unwrap();
    assert_eq!(books.balance("u").await, points("-1"));
    books.assert_verified().await;
}

/// Each price to its own, one after the other, there and back; whatever was done is done once.
#[tokio::test]
async fn what_a_model_was_re_rated_to_stays_when_another_one_of_the_message_is() {
    let books = Books::open().await;
    let [a, b] = [
        books.set_price("a", "10", "0").await,
        books.set_price("b", "20", "0").await,
    ];
    let call = |model: &str| ModelCall {
        call_id: None,
        model_name: model.parse().unwrap(),
        tokens: Tokens::new(1000, 0),
        evidence: None,
    };
    let both = MessageUsage {
        calls: vec![call("a"), call("b")],
        ..message("both", "u", "a", Tokens::new(0, 0))
    };
    books.ledger.deliver(books.delivery(both)).await.unwrap();
    assert_eq!(books.balance("u").await, points("-30"));
    let [cheap_a, cheap_b] = [
        books.set_price("a", "5", "0").await,
        books.set_price("b", "10", "0").await,
    ];
    for (version, balance) in [
        (&cheap_a, "-25"),
        (&cheap_b, "-15"),
        (&cheap_a, "-15"),
        (&b, "-25"),
        (&a, "-30"),
    ] {
        let rerating = everything_priced_by(&[version.id]);
        books.ledger.rerate(rerating, &actor()).await.unwrap();
        assert_eq!(books.balance("u").await, points(balance));
    }
    // Also where it gives nothing back, because more was given back already.
    let refund = Some(points("20"));
    let entry = 1;
    books
        .ledger
        .refund(&user("u"), entry, refund, "sorry", &actor())
        .await
        .unwrap();
    let nearly_free = books.set_price("b", "2", "0").await;
    for (version, balance) in [(&cheap_a, "-10"), (&nearly_free, "-7")] {
        let rerating = everything_priced_by(&[version.id]);
        books.ledger.rerate(rerating, &actor()).await.unwrap();
        assert_eq!(books.balance("u").await, points(balance));
    }
    books.assert_verified().await;
}

#[tokio::test]
async fn what_was_given_back_in_part_costs_the_same_whatever_it_cost_in_between() {
    let books = Books::open().await;
    books.set_price("m", "10", "0").await;
    spend(&books, "part", 1).await;
    let (user, actor) = (user("u"), actor());
    let refund = books
        .ledger
        .refund(&user, 1, Some(points("3")), "sorry", &actor);
    refund.await.unwrap();
    for (price, balance) in [
        ("8", "-7"),
        ("0", "0"),
        ("4", "-4"),
        ("10", "-7"),
        ("12", "-9"),
        ("0", "0"),
        ("10", "-7"),
    ] {
        let version = books.set_price("m", price, "0").await;
        let rerating = everything_priced_by(&[version.id]);
        books.ledger.rerate(rerating, &actor).await.unwrap();
        assert_eq!(books.balance("u").await, points(balance), "at {price}");
    }
    books.assert_verified().await;
}

#[tokio::test]
async fn a_re_rating_that_cannot_be_entered_ends_and_says_so() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    spend(&books, "a", 1).await;
    let free = books.set_price("m", "0", "0").await;
    give(&books, "9223372036", false, None).await;
    give(&books, "1.8", false, None).await;
    let rerating = Rerating {
        from: "2020-01-01T00:00:00Z".parse().unwrap(),
        to: in_days(1).unwrap(),
        price_version_ids: vec![free.id],
        reason: "free after all".into(),
    };
    let job = books.ledger.rerate(rerating, &actor()).await.unwrap();
    let job = books.ledger.job(job).await.unwrap();
    assert!(job.finished_at.is_some() && job.error.is_some(), "{job:?}");
    assert_eq!(books.balance("u").await, points("9223372036.8"));
}

#[tokio::test]
async fn a_charge_is_found_by_its_public_id() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    give(&books, "10", false, None).await;
    let used = message("a", "u", "m", Tokens::new(1000, 0));
    let answer = books.ledger.deliver(books.delivery(used)).await.unwrap();
    let id = answer.consumption_id.unwrap();
    let find = async |name: &str, id: &str| books.ledger.charge_entry(&user(name), id).await;
    assert_eq!(find("u", &id).await.unwrap(), 2);
    let other_version = "cons_00000000000040008000000000000000";
    for (name, id) in [("v", id.as_str()), ("u", "cons_x"), ("u", other_version)] {
        assert_eq!(refusal(find(name, id).await), UnknownCharge, "{id}");
    }
}

/// `parts` tells locks of one number from those of two.
async fn until_somebody_waits_for_a_lock(books: &Books, parts: i16) {
    loop {
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_locks
                 where locktype = 'advisory' and objsubid = $1 and not granted and database =
                     (select oid from pg_database where datname = current_database()))",
        )
        .bind(parts)
        .fetch_one(&books.pool)
        .await
        .unwrap();
        if waits {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Makes whoever enters a job stop before the commit, as long as lock 1 is taken, and tells the lock
/// of the job past the transaction: sequences do not wait for commits.
const STOP_BEFORE_COMMIT: &str = "
    create sequence entered minvalue -2147483648 start 0;
    create function stop() returns trigger language plpgsql as $$
    declare
        hex text := replace(new.job_id::text, '-', '');
    begin
        perform setval('entered', ('x' || left(hex, 8))::bit(32)::int # ('x' || right(hex, 8))::bit(32)::int);
        perform pg_advisory_xact_lock(1);
        return new;
    end
    $$;
    create trigger stop before insert on job for each row execute function stop()";

#[tokio::test]
async fn whoever_wants_a_re_rating_waits_for_the_process_that_is_at_it() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    spend(&books, "a", 1).await;
    let free = books.set_price("m", "0", "0").await;
    let rerating = Rerating {
        from: "2020-01-01T00:00:00Z".parse().unwrap(),
        to: in_days(1).unwrap(),
        price_version_ids: vec![free.id],
        reason: "free after all".into(),
    };
    // Another process, which gets hold of the job before the one that enters it.
    let mut other = books.pool.acquire().await.unwrap();
    sqlx::raw_sql(STOP_BEFORE_COMMIT)
        .execute(&mut *other)
        .await
        .unwrap();
    sqlx::raw_sql("select pg_advisory_lock(1)")
        .execute(&mut *other)
        .await
        .unwrap();
    let actor = actor();
    let mut rerate = std::pin::pin!(books.ledger.rerate(rerating, &actor));
    let takes_it = async {
        until_somebody_waits_for_a_lock(&books, 1).await;
        sqlx::raw_sql(
            "select pg_advisory_lock(1953459308, (select last_value from entered)::int);
             select pg_advisory_unlock(1)",
        )
        .execute(&mut *other)
        .await
        .unwrap();
    };
    tokio::select! {
        job = &mut rerate => panic!("{job:?} was not entered yet"),
        () = takes_it => {}
    }
    tokio::select! {
        job = &mut rerate => panic!("{job:?} is not done yet"),
        () = until_somebody_waits_for_a_lock(&books, 2) => {}
    }
    other.close().await.unwrap();
    let job = books.ledger.job(rerate.await.unwrap()).await.unwrap();
    assert!(job.finished_at.is_some() && job.done == 1, "{job:?}");
    assert_eq!(books.balance("u").await, points("0"));
}

#[tokio::test]
async fn re_rating_does_not_give_back_again_what_was_refunded() {
    let books = Books::open().await;
    books.set_price("m", "10", "0").await;
    for id in ["all", "little", "much"] {
        spend(&books, id, 1).await;
    }
    for (entry, part) in [(1, None), (2, Some("3")), (3, Some("7"))] {
        books
            .ledger
            .refund(&user("u"), entry, part.map(points), "goodwill", &actor())
            .await
            .unwrap();
    }
    assert_eq!(books.balance("u").await, points("-10"));
    let cheaper = books.set_price("m", "5", "0").await;
    let rerating = everything_priced_by(&[cheaper.id]);
    let preview = books.ledger.preview_rerating(&rerating).await.unwrap();
    assert_eq!((preview[0].messages, preview[0].points), (1, points("2")));
    for _ in 0..2 {
        books
            .ledger
            .rerate(rerating.clone(), &actor())
            .await
            .unwrap();
        assert_eq!(books.balance("u").await, points("-8"));
    }
    books.assert_verified().await;
}

#[tokio::test]
async fn a_re_rating_that_does_not_fit_an_account_ends_and_says_so() {
    let books = Books::open().await;
    books.set_price("m", "1", "0").await;
    spend(&books, "a", 1).await;
    let full = Points::MAX;
    for amount in [full, points("1")] {
        books
            .ledger
            .add_points(&user("u"), amount, "test", &actor())
            .await
            .unwrap();
    }
    assert_eq!(books.balance("u").await, full);
    let cheaper = books.set_price("m", "0.5", "0").await;
    let rerating = everything_priced_by(&[cheaper.id]);
    let job = books.ledger.rerate(rerating, &actor()).await.unwrap();
    let job = books.ledger.job(job).await.unwrap();
    assert!(job.finished_at.is_some());
    assert_eq!(job.error.as_deref(), Some("invalid_field"));
    assert_eq!(books.balance("u").await, full);
    books.assert_verified().await;
}
