//! Claims, what happened to messages, and what waits.

use ledger::Entrance;
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};

use super::Victim;
use crate::{Books, actor, message, points, user};

/// Messages of each account that several reports were told of, after a grant as entry 1:
/// - `NAME run`, known also as `NAME workflow`, with two calls as entry 2 and a third as entry 3;
/// - `NAME text`, charged as entry 4 and better as 5;
/// - `NAME growing`, cumulative, as entries 6 and 7;
/// - `NAME told`, as entry 8, which another entrance knows as `NAME trace`;
/// - `NAME left` and `NAME right`, as entries 9 and 10, and as one as entry 11;
/// - `NAME free`, as entry 12, given back as 13, of which a better report says the same amount;
/// - `NAME waiting`, which has no price.
async fn books_with_reports() -> Books {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    for name in ["honest", "victim"] {
        books.grant(name, "10").await;
        let id = |what: &str| format!("{name} {what}");
        let call = |what: &str, tokens| ModelCall {
            call_id: Some(id(what)),
            model_name: "m".parse().unwrap(),
            tokens: Tokens::new(tokens, 0),
            evidence: None,
        };
        let whole = |what: &str, tokens| message(&id(what), name, "m", Tokens::new(tokens, 0));
        let run = |calls: &[ModelCall]| MessageUsage {
            also_known_as: vec![id("workflow")],
            calls: calls.to_vec(),
            ..whole("run", 0)
        };
        let [one, two, three] = [call("one", 100), call("two", 200), call("three", 300)];
        let estimated = |what, tokens| MessageUsage {
            evidence: Evidence::Estimated,
            ..whole(what, tokens)
        };
        let known_as = |what, tokens, other| MessageUsage {
            also_known_as: vec![id(other)],
            ..whole(what, tokens)
        };
        for (entrance, continues, told) in [
            (Entrance::Gateway, false, run(&[one.clone(), two.clone()])),
            (Entrance::Gateway, false, run(&[one, two, three])),
            (Entrance::Gateway, false, estimated("text", 400)),
            (Entrance::Langfuse, false, whole("text", 500)),
            (Entrance::Gateway, true, whole("growing", 600)),
            (Entrance::Gateway, true, known_as("growing", 900, "grown")),
            (Entrance::Webhook, false, whole("told", 700)),
            (Entrance::Langfuse, false, known_as("told", 700, "trace")),
            (Entrance::Webhook, false, whole("left", 100)),
            (Entrance::Gateway, false, whole("right", 150)),
            (Entrance::Langfuse, false, known_as("left", 300, "right")),
            (Entrance::Gateway, false, estimated("free", 400)),
        ] {
            let mut delivery = books.delivery(told);
            delivery.entrance = entrance;
            delivery.continues = continues;
            books.ledger.deliver(delivery).await.unwrap();
        }
        let free = user(name);
        books
            .ledger
            .refund(&free, 12, None, "test", &actor())
            .await
            .unwrap();
        let mut better = books.delivery(whole("free", 300));
        better.entrance = Entrance::Langfuse;
        books.ledger.deliver(better).await.unwrap();
        let waiting = message(&id("waiting"), name, "unknown", Tokens::new(1, 0));
        books.ledger.deliver(books.delivery(waiting)).await.unwrap();
        // 0.6 + 0.5 + 0.9 + 0.7, and 0.1, as the first of those who were equally sure says.
        assert_eq!(books.balance(name).await, points("7.2"));
    }
    books.assert_verified().await;
    books
}

const MISSING: &str = "claim is missing, or says that it was charged elsewhere";

#[tokio::test]
async fn a_changed_claim_is_named() {
    let victim = Victim::open().await;
    victim
        .expect(
            "delete from claim where id = copy.id('victim1')",
            Some(3),
            MISSING,
        )
        .await;
    for change in [
        "message = gen_random_uuid()",
        "message = copy.id('victim2')",
        "account_id = gen_random_uuid()",
        "account_id = null, entry = null",
        "entry = entry + 1",
        "id = gen_random_uuid()",
    ] {
        let statement = format!("update claim set {change} where id = copy.id('victim1')");
        victim.expect_named(&statement, Some(3), MISSING).await;
    }
    // A message that another one's charge is said to be of would never be charged itself.
    victim
        .expect_named(
            "insert into claim select copy.id('made up'), copy.id('made up'), account_id, entry
             from claim where id = copy.id('victim1')",
            Some(3),
            "there is no such entry of the message",
        )
        .await;
}

/// Few differences are looked at one by one, and many together.
#[tokio::test]
async fn each_of_many_missing_claims_is_named() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let charges = (1..=400).map(|number| {
        let used = message(&format!("victim{number}"), "victim", "m", Tokens::new(1, 0));
        books.ledger.deliver(books.delivery(used))
    });
    for charged in futures::future::join_all(charges).await {
        charged.unwrap();
    }
    let victim = Victim::over(books).await;
    for count in [200_i64, 390] {
        let report = victim
            .report_after(&format!(
                "delete from claim where entry <= {count} and VICTIM"
            ))
            .await;
        let findings = report.findings();
        assert!(
            findings
                .iter()
                .all(|finding| finding.what.contains(MISSING)),
            "{findings:?}"
        );
        let mut entries: Vec<_> = findings
            .iter()
            .filter_map(|finding| finding.entry)
            .collect();
        entries.sort_unstable();
        // Along the account only the first is named.
        assert_eq!(entries.len(), findings.len());
        assert!(entries.iter().copied().eq(1..=count), "{entries:?}");
    }
}

#[tokio::test]
async fn a_changed_further_id_is_named() {
    let victim = Victim::over(books_with_reports().await).await;
    for (call, entry) in [("one", 2), ("two", 2), ("three", 3)] {
        let statement = format!("delete from claim where id = copy.id('victim {call}')");
        let what = format!("its call victim {call} could be charged again");
        victim.expect(&statement, Some(entry), &what).await;
    }
    for (change, what) in [
        (
            "message = copy.id('victim told')",
            "was not first charged there",
        ),
        (
            "message = copy.id('honest run')",
            "was not first charged there",
        ),
        ("message = copy.id('nothing')", "which nobody has claimed"),
        ("entry = 3", "was not first charged there"),
    ] {
        let entry = if change == "entry = 3" { 3 } else { 2 };
        let statement = format!("update claim set {change} where id = copy.id('victim workflow')");
        victim.expect_named(&statement, Some(entry), what).await;
    }
    // It was learned later, so that it tells of no charge.
    victim
        .expect_named(
            "update claim set message = copy.id('nothing') where id = copy.id('victim trace')",
            None,
            "which nobody has claimed",
        )
        .await;
}

#[tokio::test]
async fn a_changed_event_is_named() {
    let victim = Victim::over(books_with_reports().await).await;
    let not_its_reports = "not what its reports in effect make of it";
    for (of, number, change, entry, what) in [
        (
            "run",
            1,
            "number = 2",
            3,
            "event 1 is missing before event 2",
        ),
        ("run", 1, "entry = null", 3, MISSING),
        ("run", 1, "entry = 4", 4, "there is no such entry"),
        (
            "run",
            1,
            "usage = jsonb_set(usage, '{calls,victim three,tokens,input}', '301')",
            3,
            not_its_reports,
        ),
        (
            "text",
            1,
            "usage = jsonb_set(usage, '{whole,lines,0,tokens,input}', '501')",
            5,
            not_its_reports,
        ),
        (
            "growing",
            0,
            "usage = jsonb_set(usage, '{whole,lines,0,tokens,input}', '601')",
            6,
            not_its_reports,
        ),
        (
            "told",
            1,
            "usage = jsonb_set(usage, '{calls}', jsonb_build_object('made up', usage #> '{whole,lines,0}'))",
            8,
            not_its_reports,
        ),
        (
            "told",
            1,
            "account_id = (select account_id from account where user_id = 'honest')",
            8,
            "another user",
        ),
        // What a message costs after a report that changed nothing of what is owed.
        (
            "free",
            2,
            "lines = jsonb_set(lines, '{0,in}', '301')",
            12,
            not_its_reports,
        ),
        ("free", 2, "cost_nano = cost_nano + 1", 12, not_its_reports),
        ("free", 2, "cap_nano = cap_nano + 1", 12, not_its_reports),
        (
            "free",
            2,
            "lines = null, cost_nano = null, owed_nano = null, basis_nano = null, cap_nano = null",
            12,
            not_its_reports,
        ),
    ] {
        let statement = format!(
            "update message_event set {change} where message = copy.id('victim {of}') and number = {number}"
        );
        let report = victim.report_after(&statement).await;
        let findings = report.findings();
        let is_named = findings
            .iter()
            .any(|it| it.entry == Some(entry) && it.what.contains(what));
        assert!(is_named, "{statement}: {findings:?}");
    }
    victim
        .expect_named(
            "update message_event set usage = '7' where message = copy.id('victim run')",
            None,
            "cannot be read",
        )
        .await;
}

#[tokio::test]
async fn a_removed_event_is_named_and_an_added_one() {
    let victim = Victim::over(books_with_reports().await).await;
    for (of, entry) in [("run", 3), ("text", 5), ("growing", 7), ("free", 13)] {
        let statement = format!(
            "delete from message_event where message = copy.id('victim {of}')
                 and entry = {entry}"
        );
        victim.expect_named(&statement, Some(entry), MISSING).await;
    }
    let copy = "insert into message_event (message, number, kind, recorded_at, account_id, api_key_id, entrance,
                    occurred_at, usage)
                select message, NUMBER, kind, recorded_at, account_id, api_key_id, entrance, occurred_at,
                    jsonb_set(usage, '{calls,victim four}', usage #> '{calls,victim one}')
                from message_event where message = copy.id('victim run')";
    victim
        .expect_named(&copy.replace("NUMBER", "2"), Some(2), "without an entry")
        .await;
    victim
        .expect_named(
            &copy.replace("NUMBER", "3"),
            Some(2),
            "event 2 is missing before event 3",
        )
        .await;
}

#[tokio::test]
async fn what_became_of_messages_that_are_one_is_named() {
    let victim = Victim::over(books_with_reports().await).await;
    let of_right = "message = copy.id('victim right') and kind = 'joined'";
    for (statement, entry, what) in [
        (
            format!("delete from message_event where {of_right}"),
            Some(9),
            "which did not end here",
        ),
        (
            format!("update message_event set other = copy.id('victim told') where {of_right}"),
            Some(9),
            "which did not end here",
        ),
        (
            "update message_event set usage = jsonb_set(usage, '{whole,lines,0,tokens,input}', '151')
             where message = copy.id('victim left') and other = copy.id('victim right')"
                .to_owned(),
            Some(9),
            "is not what the other message says",
        ),
        (
            "delete from message_event
             where message = copy.id('victim left') and other = copy.id('victim right')"
                .to_owned(),
            Some(9),
            "not all reports of another message went on in it",
        ),
    ] {
        victim.expect_named(&statement, entry, what).await;
    }
}

#[tokio::test]
async fn what_waits_without_its_place_in_quarantine_is_named_and_the_other_way_round() {
    let victim = Victim::over(books_with_reports().await).await;
    let of_waiting = "where message = copy.id('victim waiting')";
    let no_place = "waits, but is not in quarantine";
    for (statement, what) in [
        (format!("delete from quarantine {of_waiting}"), no_place),
        (
            format!("update quarantine set number = 1 {of_waiting}"),
            no_place,
        ),
        (
            format!("update quarantine set message = copy.id('victim told') {of_waiting}"),
            no_place,
        ),
        (
            format!("delete from message_event {of_waiting}"),
            "is in quarantine, but not among the message's reports",
        ),
        (
            format!("delete from message_event {of_waiting}; delete from quarantine {of_waiting}"),
            "a delivery of message victim waiting was to wait",
        ),
    ] {
        victim.expect_named(&statement, None, what).await;
    }
}
