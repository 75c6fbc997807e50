//! Invariant 6: what somebody changes behind the ledger's back, verification names.

use ledger::{Entrance, Grant, VerifyReport};
use shared::api::CheckBalance;
use shared::dify::{Evidence, MessageUsage, ModelCall};
use shared::tokens::Tokens;
use sqlx::AssertSqlSafe;

use crate::{Books, actor, message, now, points, user};

/// Books that can be tampered with again and again.
struct Victim {
    books: Books,
    /// Puts the books back as they were.
    restore: String,
}

const TABLES: [&str; 9] = [
    "account",
    "journal_entry",
    "consumption",
    "credit",
    "hold",
    "rollup",
    "message",
    "sighting",
    "price_version",
];

/// For the victim's rows.
const VICTIM: &str = "account_id = (select account_id from account where user_id = 'victim')";

impl Victim {
    async fn open() -> Self {
        Self::over(books_with_accounts().await).await
    }

    async fn over(books: Books) -> Self {
        let copies: String = TABLES
            .iter()
            .map(|table| format!("create table copy.{table} as table {table};"))
            .collect();
        sqlx::raw_sql(AssertSqlSafe(format!("create schema copy; {copies}")))
            .execute(&books.pool)
            .await
            .unwrap();
        let restore = sqlx::query_scalar(
            "select string_agg(format('delete from %1$I;
                     insert into %1$I (%2$s) overriding system value select %2$s from copy.%1$I;',
                 table_name, columns), '')
             from (select table_name, string_agg(quote_ident(column_name), ', ') as columns
                   from information_schema.columns
                   where table_schema = 'copy' and (table_name, column_name) not in (
                       select table_name, column_name from information_schema.columns
                       where table_schema = 'public' and is_generated = 'ALWAYS')
                   group by table_name) copied",
        );
        let restore = restore.fetch_one(&books.pool).await.unwrap();
        Self { books, restore }
    }

    /// Does it to the books as they were, as the database's owner, past the triggers.
    async fn tamper(&self, statements: &str) {
        let restore = &self.restore;
        let statements = statements.replace("VICTIM", VICTIM);
        sqlx::raw_sql(AssertSqlSafe(format!(
            "begin; set local session_replication_role = replica; {restore} {statements}; commit"
        )))
        .execute(&self.books.pool)
        .await
        .unwrap();
    }

    async fn report_after(&self, statements: &str) -> VerifyReport {
        self.tamper(statements).await;
        self.books.ledger.verify(None).await.unwrap()
    }

    /// Expects that the victim's account is named, at an entry, with what is wrong there.
    async fn expect(&self, statements: &str, entry: Option<i64>, what: &str) {
        let report = self.report_after(statements).await;
        assert!(!report.ok, "{statements}");
        let finding = &report.findings[0];
        assert!(finding.what.contains(what), "{statements}: {finding:?}");
        assert_eq!(
            (finding.user_id.as_deref(), finding.entry),
            (Some("victim"), entry),
            "{statements}: {finding:?}"
        );
        let alone = async |name| self.books.ledger.verify(Some(&user(name))).await.unwrap();
        let honest = alone("honest").await;
        assert!(honest.ok, "{statements}: {honest:?}");
        let alone = alone("victim").await;
        assert_eq!(alone.findings[0].entry, entry, "{statements}");
    }
}

/// Entry 1 of each account is a grant, 2 to 5 are charges, 6 is bought, 7 a grant that expires, 8 a
/// charge of a part of that, 9 a refund of entry 2; there is an open hold, and a settled one by which
/// entry 10 was charged. A third account is open and empty.
async fn books_with_accounts() -> Books {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    for name in ["honest", "victim"] {
        books.grant(name, "10").await;
        let charge = async |number: u64| {
            let used = message(
                &format!("{name}{number}"),
                name,
                "m",
                Tokens::new(1000, number),
            );
            books.ledger.deliver(books.delivery(used)).await.unwrap();
        };
        for number in 0..4 {
            charge(number).await;
        }
        let in_a_week = now().moment() + time::Duration::days(7);
        for (is_bought, expires_at) in [(true, None), (false, Some(in_a_week.into()))] {
            let grant = Grant {
                points: points("5"),
                reason: "test".into(),
                is_bought,
                expires_at,
            };
            books
                .ledger
                .grant(&user(name), &grant, &actor())
                .await
                .unwrap();
        }
        charge(4).await;
        books
            .ledger
            .refund(&user(name), 2, None, "test", &actor())
            .await
            .unwrap();
        let check = CheckBalance {
            model_name: "m".parse().unwrap(),
            estimated_input_tokens: Some(1000),
            estimated_output_tokens: Some(0),
            user_id: None,
            hold: true,
            hold_seconds: None,
        };
        let mut holds = Vec::new();
        for _ in 0..2 {
            let checked = books
                .ledger
                .check_balance(&user(name), &check)
                .await
                .unwrap();
            holds.push(checked.hold_id.unwrap());
        }
        let used = message(&format!("{name} held"), name, "m", Tokens::new(1, 0));
        books
            .ledger
            .settle_hold(&holds[0], books.delivery(used))
            .await
            .unwrap();
    }
    books
        .ledger
        .set_debt_limit(&user("new"), points("1"), &actor())
        .await
        .unwrap();
    books.assert_verified().await;
    books
}

#[tokio::test]
async fn a_changed_entry_is_named() {
    let victim = Victim::open().await;
    let changes = [
        (
            "amount_nano = amount_nano - 1, balance_after_nano = balance_after_nano - 1",
            3,
        ),
        ("balance_after_nano = balance_after_nano + 1", 4),
        ("occurred_at = occurred_at - interval '1 second'", 2),
        ("reason = 'another reason'", 1),
        ("actor = 'somebody else'", 6),
        ("corrects_entry = 3", 9),
        ("hash = sha256('x')", 5),
    ];
    for (change, entry) in changes {
        let statement =
            format!("update journal_entry set {change} where VICTIM and entry = {entry}");
        victim.expect(&statement, Some(entry), "was changed").await;
    }
    victim
        .expect(
            "update journal_entry set previous_hash = sha256('x') where VICTIM and entry = 3",
            Some(3),
            "does not continue",
        )
        .await;
    victim
        .expect(
            "update journal_entry set kind = 'adjustment', counter_account = 'adjustment'
             where VICTIM and entry = 1",
            Some(1),
            "was changed",
        )
        .await;
}

#[tokio::test]
async fn a_removed_entry_is_named() {
    let victim = Victim::open().await;
    victim
        .expect(
            "delete from journal_entry where VICTIM and entry = 9;
             delete from credit where VICTIM and entry = 9",
            Some(10),
            "entry 9 is missing",
        )
        .await;
    victim
        .expect(
            "delete from journal_entry where VICTIM and entry = 1;
             delete from credit where VICTIM and entry = 1",
            Some(2),
            "entry 1 is missing",
        )
        .await;
    victim
        .expect(
            "delete from journal_entry where VICTIM and entry = 10;
             delete from consumption where VICTIM and entry = 10;
             delete from message where message_id = 'victim held'",
            None,
            "the last ones are missing",
        )
        .await;
}

#[tokio::test]
async fn what_belongs_to_no_entry_is_named() {
    let victim = Victim::open().await;
    let report = victim
        .report_after("delete from journal_entry where VICTIM and entry = 3")
        .await;
    let whats: Vec<_> = report
        .findings
        .iter()
        .map(|it| (it.entry, it.what.as_str()))
        .collect();
    assert_eq!(
        whats,
        [
            (Some(4), "entry 3 is missing before entry 4"),
            (
                Some(3),
                "message victim1 is recorded without its journal entry"
            ),
        ]
    );
    victim
        .expect(
            "insert into credit (account_id, entry, amount_nano, remaining_nano, is_bought)
             select account_id, 99, 1, 1, false from account where VICTIM",
            Some(99),
            "without its journal entry",
        )
        .await;

    let report = victim
        .report_after(
            "insert into message select namespace_id, 'made up', fingerprint, gen_random_uuid(),
             total_tokens, charge_nano, balance_after_nano, recorded_at
         from message where message_id = 'victim1'",
        )
        .await;
    assert_eq!(report.broken, 1);
    assert!(
        report.findings[0].what.starts_with("message made up"),
        "{:?}",
        report.findings
    );
}

#[tokio::test]
async fn reordered_entries_are_named() {
    let victim = Victim::open().await;
    victim
        .expect(
            "update journal_entry set entry = 100 where VICTIM and entry = 3;
             update journal_entry set entry = 3 where VICTIM and entry = 4;
             update journal_entry set entry = 4 where VICTIM and entry = 100",
            Some(3),
            "does not continue",
        )
        .await;
    // With everything that belongs to them.
    victim
        .expect(
            "update journal_entry set entry = 100 where VICTIM and entry = 6;
             update journal_entry set entry = 6 where VICTIM and entry = 7;
             update journal_entry set entry = 7 where VICTIM and entry = 100;
             update credit set entry = 100 where VICTIM and entry = 6;
             update credit set entry = 6 where VICTIM and entry = 7;
             update credit set entry = 7 where VICTIM and entry = 100",
            Some(6),
            "does not continue",
        )
        .await;
}

#[tokio::test]
async fn a_changed_consumption_is_named() {
    let victim = Victim::open().await;
    let changes = [
        "total_tokens = 1",
        "message_id = 'honest0'",
        "api_key_id = gen_random_uuid()",
        "lines = jsonb_set(lines, '{0,tokens,input}', '999')",
        "lines = lines || lines",
        "charge_nano = charge_nano + 1",
        "part = 1",
    ];
    for change in changes {
        let statement = format!("update consumption set {change} where VICTIM and entry = 2");
        victim.expect(&statement, Some(2), "was changed").await;
    }
    victim
        .expect(
            "delete from consumption where VICTIM and entry = 2;
         delete from message where message_id = 'victim0'",
            Some(2),
            "was changed",
        )
        .await;
}

#[tokio::test]
async fn a_changed_account_is_named() {
    let victim = Victim::open().await;
    victim
        .expect(
            "update account set balance_nano = balance_nano + 1 where VICTIM",
            None,
            "balance is not the sum",
        )
        .await;
    victim
        .expect(
            "update account set held_nano = held_nano - 1 where VICTIM",
            None,
            "not the sum of its open holds",
        )
        .await;
    victim
        .expect(
            "update account set entry_count = entry_count + 1 where VICTIM",
            None,
            "the last ones are missing",
        )
        .await;
    victim
        .expect(
            "update account set last_hash = sha256('x') where VICTIM",
            None,
            "last hash",
        )
        .await;

    let report = victim
        .report_after("update account set user_id = 'thief' where VICTIM")
        .await;
    // Its messages were reported of another user.
    assert_eq!((report.broken, report.findings[0].entry), (1, Some(2)));
    let report = victim
        .report_after("delete from account where VICTIM")
        .await;
    let whats: Vec<_> = report.findings.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(whats[0], "entries without an account");
    assert_eq!(
        whats
            .iter()
            .filter(|what| **what == "a hold without an account")
            .count(),
        2
    );
    assert!(whats.contains(&"a rollup without an account"));
}

#[tokio::test]
async fn an_account_without_entries_must_be_empty() {
    let victim = Victim::open().await;
    for (change, what) in [
        ("balance_nano = 1", "balance is not the sum"),
        ("held_nano = 1", "not the sum of its open holds"),
        ("last_hash = sha256('x')", "last hash"),
        ("user_id = 'thief'", "another user"),
    ] {
        let statement = format!("update account set {change} where user_id = 'new'");
        let report = victim.report_after(&statement).await;
        assert_eq!((report.broken, report.accounts), (1, 3));
        let finding = &report.findings[0];
        assert!(finding.what.contains(what), "{finding:?}");
    }
}

#[tokio::test]
async fn all_faults_are_counted_and_the_first_thousand_named() {
    let victim = Victim::open().await;
    let report = victim
        .report_after(
            "insert into account (account_id, user_id, balance_nano, last_hash)
             select gen_random_uuid(), 'thief ' || number, 1, sha256('')
             from generate_series(1, 1001) as number",
        )
        .await;
    assert_eq!((report.broken, report.findings.len()), (1001, 1000));
}

#[tokio::test]
async fn a_changed_credit_is_named() {
    let victim = Victim::open().await;
    victim.expect(
            "update credit set expires_at = expires_at + interval '1 day' where VICTIM and entry = 7",
            Some(7),
            "was changed").await;
    victim
        .expect(
            "update credit set is_bought = false where VICTIM and entry = 6",
            Some(6),
            "was changed",
        )
        .await;
    victim
        .expect(
            "update credit set amount_nano = amount_nano + 1 where VICTIM and entry = 1",
            Some(1),
            "not what it brought",
        )
        .await;
    victim
        .expect(
            "delete from credit where VICTIM and entry = 9",
            Some(9),
            "its credit is missing",
        )
        .await;
    // The sum stays what it was.
    victim
        .expect(
            "update credit set remaining_nano = remaining_nano - 1 where VICTIM and entry = 7;
             update credit set remaining_nano = remaining_nano + 1 where VICTIM and entry = 1",
            Some(7),
            "what is left of its credit",
        )
        .await;
}

#[tokio::test]
async fn points_that_came_back_are_named_where_they_were_used_up() {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    for name in ["honest", "victim"] {
        books.grant(name, "1").await;
        books.grant(name, "5").await;
        let used = message(name, name, "m", Tokens::new(2000, 0));
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    let victim = Victim::over(books).await;
    victim
        .expect(
            "update credit set remaining_nano = remaining_nano + 1 where VICTIM and entry = 1;
             update credit set remaining_nano = remaining_nano - 1 where VICTIM and entry = 2",
            Some(3),
            "used up the credit of entry 1",
        )
        .await;
}

#[tokio::test]
async fn a_changed_hold_is_named() {
    let victim = Victim::open().await;
    let not_the_sum = "not the sum of its open holds";
    victim
        .expect(
            "update hold set amount_nano = amount_nano + 1 where VICTIM and status = 'open'",
            None,
            not_the_sum,
        )
        .await;
    victim
        .expect(
            "delete from hold where VICTIM and status = 'open'",
            None,
            not_the_sum,
        )
        .await;
    victim.expect(
            "update hold set status = 'released', closed_at = now() where VICTIM and status = 'open'",
            None,
            not_the_sum).await;
    victim
        .expect(
            "update hold set status = 'open', closed_at = null, message_id = null
             where VICTIM and status = 'settled'",
            None,
            not_the_sum,
        )
        .await;
}

#[tokio::test]
async fn a_changed_rollup_is_named() {
    let victim = Victim::open().await;
    for change in [
        "update rollup set amount_nano = amount_nano + 1 where VICTIM and kind = 'charge'",
        "update rollup set entries = entries + 1 where VICTIM and kind = 'charge'",
        "update rollup set input_tokens = input_tokens + 1 where VICTIM and kind = 'charge'",
        "update rollup set output_tokens = output_tokens + 1 where VICTIM and kind = 'charge'",
        "update rollup set model_key = 'other' where VICTIM and kind = 'charge'",
        "delete from rollup where VICTIM and kind = 'charge'",
        // Of the same hour in the eyes of whoever sums up.
        "update rollup set hour = hour + interval '100 ms' where VICTIM and kind = 'charge'",
        "insert into rollup select account_id, hour + interval '100 ms', kind, model_key, api_key_id, entries,
             input_tokens, output_tokens, amount_nano from rollup where VICTIM and kind = 'charge'",
    ] {
        victim
            .expect(change, None, "the rollup of charge in the hour of 20")
            .await;
    }
    victim.expect(
        "insert into rollup select account_id, hour - interval '1 hour', kind, model_key, api_key_id,
             0, 0, 0, 0 from rollup where VICTIM and kind = 'refund'",
        None,
        "the rollup of refund").await;
}

#[tokio::test]
async fn a_changed_message_is_named() {
    let victim = Victim::open().await;
    victim
        .expect(
            "delete from message where message_id = 'victim1'",
            Some(3),
            "identity is missing",
        )
        .await;
    victim
        .expect(
            "update message set consumption_id = gen_random_uuid() where message_id = 'victim1'",
            Some(3),
            "names another consumption",
        )
        .await;

    for change in [
        "fingerprint = sha256('x')",
        "total_tokens = total_tokens + 1",
        "charge_nano = charge_nano + 1",
        "balance_after_nano = balance_after_nano + 1",
        "recorded_at = recorded_at + interval '1 second'",
        "account_id = gen_random_uuid()",
        "account_id = null",
        "entry = entry + 1",
        "entry = null",
        "entrance = 'gateway'",
        "is_itemized = true",
    ] {
        let statement = format!("update message set {change} where message_id = 'victim1'");
        victim
            .expect(&statement, Some(3), "says something else")
            .await;
    }
}

/// A message that another one's charge is said to be of would never be charged itself.
#[tokio::test]
async fn an_identity_beside_a_charges_own_is_named() {
    let victim = Victim::open().await;
    let report = victim
        .report_after(
            "insert into message (namespace_id, message_id, fingerprint, consumption_id, total_tokens,
                 charge_nano, balance_after_nano, recorded_at, account_id, entry)
             select namespace_id, 'made up', fingerprint, consumption_id, total_tokens,
                 charge_nano, balance_after_nano, recorded_at, account_id, entry
             from message where message_id = 'victim1'",
        )
        .await;
    let [finding] = report.findings.as_slice() else {
        panic!("one finding: {:?}", report.findings);
    };
    assert_eq!(
        (finding.user_id.as_deref(), finding.entry),
        (Some("victim"), Some(3))
    );
    assert!(finding.what.starts_with("message made up"), "{finding:?}");
}

/// Messages of each account that several reports were told of, after a grant as entry 1:
/// - `NAME run`, known also as `NAME workflow`, with two calls as entry 2 and a third as entry 3;
/// - `NAME text`, charged as entry 4, refunded as 5 and charged better as 6;
/// - `NAME growing`, cumulative, as entries 7 and 8;
/// - `NAME told`, as entry 9, which another entrance knows as `NAME trace`.
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
        };
        let whole = |what: &str, tokens| message(&id(what), name, "m", Tokens::new(tokens, 0));
        let run = |calls: &[ModelCall]| MessageUsage {
            also_known_as: vec![id("workflow")],
            calls: calls.to_vec(),
            ..whole("run", 0)
        };
        let [one, two, three] = [call("one", 100), call("two", 200), call("three", 300)];
        let estimated = MessageUsage {
            evidence: Evidence::Estimated,
            ..whole("text", 400)
        };
        let grown = MessageUsage {
            also_known_as: vec![id("grown")],
            ..whole("growing", 900)
        };
        let traced = MessageUsage {
            also_known_as: vec![id("trace")],
            ..whole("told", 700)
        };
        for (entrance, continues, told) in [
            (Entrance::Gateway, false, run(&[one.clone(), two.clone()])),
            (Entrance::Gateway, false, run(&[one, two, three])),
            (Entrance::Gateway, false, estimated),
            (Entrance::Langfuse, false, whole("text", 500)),
            (Entrance::Gateway, true, whole("growing", 600)),
            (Entrance::Gateway, true, grown),
            (Entrance::Webhook, false, whole("told", 700)),
            (Entrance::Langfuse, false, traced),
        ] {
            let mut delivery = books.delivery(told);
            delivery.entrance = entrance;
            delivery.continues = continues;
            books.ledger.deliver(delivery).await.unwrap();
        }
    }
    books.assert_verified().await;
    books
}

#[tokio::test]
async fn a_changed_part_is_named() {
    let victim = Victim::over(books_with_reports().await).await;
    for (change, id, part, entry, what) in [
        ("replaces = '{0}'", "run", 0, 2, "not given back"),
        ("replaces = '{0}'", "run", 1, 3, "not given back"),
        ("replaces = '{}'", "text", 1, 6, "does not take their place"),
        ("replaces = '{0}'", "growing", 1, 8, "not given back"),
        ("evidence = 'estimated'", "run", 1, 3, "is not on record"),
        ("is_itemized = false", "run", 0, 2, "says something else"),
        ("is_itemized = true", "text", 1, 6, "says something else"),
        (
            "fingerprint = sha256('x')",
            "growing",
            1,
            8,
            "says something else",
        ),
        ("entry = 2", "run", 1, 3, "says something else"),
        ("part = 2", "run", 1, 3, "identity is missing"),
        (
            "alias_of = 'victim run'",
            "text",
            0,
            4,
            "identity is missing",
        ),
    ] {
        let statement = format!(
            "update message set {change} where message_id = 'victim {id}' and part = {part}"
        );
        victim.expect(&statement, Some(entry), what).await;
    }
    // Each part of a message is needed for itself.
    for (id, part, entry) in [
        ("run", 0, 2),
        ("run", 1, 3),
        ("text", 0, 4),
        ("text", 1, 6),
        ("told", 0, 9),
    ] {
        let statement =
            format!("delete from message where message_id = 'victim {id}' and part = {part}");
        victim
            .expect(&statement, Some(entry), "identity is missing")
            .await;
    }
}

#[tokio::test]
async fn a_missing_call_id_is_named() {
    let victim = Victim::over(books_with_reports().await).await;
    for (call, entry) in [("one", 2), ("two", 2), ("three", 3)] {
        let statement = format!("delete from message where message_id = 'victim {call}'");
        let what = format!("its call victim {call} could be charged again");
        victim.expect(&statement, Some(entry), &what).await;
    }
}

#[tokio::test]
async fn a_changed_further_id_is_named() {
    let victim = Victim::over(books_with_reports().await).await;
    let named = async |statement: &str, entry: Option<i64>, what: &str| {
        let report = victim.report_after(statement).await;
        let [finding] = report.findings.as_slice() else {
            panic!("{statement}: one finding: {:?}", report.findings);
        };
        assert!(finding.what.contains(what), "{statement}: {finding:?}");
        let user = entry.map(|_| "victim");
        assert_eq!(
            (finding.user_id.as_deref(), finding.entry),
            (user, entry),
            "{statement}"
        );
    };
    let something_else = "stands for something else than what was reported";
    for (change, id, entry, what) in [
        // One of two calls, a report of two calls, a call of a further part, a report that said more
        // than what was left to be charged.
        ("fingerprint = sha256('x')", "two", 2, something_else),
        ("fingerprint = sha256('x')", "workflow", 2, something_else),
        ("fingerprint = sha256('x')", "three", 3, something_else),
        ("fingerprint = sha256('x')", "grown", 8, something_else),
        ("total_tokens = 1", "one", 2, "says something else"),
        ("charge_nano = 1", "one", 2, "says something else"),
        ("balance_after_nano = 1", "one", 2, "says something else"),
        ("recorded_at = now()", "one", 2, "says something else"),
        ("account_id = null", "one", 2, "says something else"),
        ("entry = 3", "one", 2, "says something else"),
        ("entrance = 'webhook'", "one", 2, "says something else"),
        ("evidence = 'estimated'", "grown", 8, "says something else"),
        ("is_itemized = false", "three", 3, "says something else"),
        ("replaces = '{0}'", "trace", 9, "says something else"),
    ] {
        let statement = format!("update message set {change} where message_id = 'victim {id}'");
        named(&statement, Some(entry), what).await;
    }
    // One call's fingerprint is not the other's.
    named(
        "update message set fingerprint = (select fingerprint from message
             where message_id = 'victim one') where message_id = 'victim two'",
        Some(2),
        something_else,
    )
    .await;
    // It leads to another message, or to none.
    for of in ["victim told", "honest run", "nothing"] {
        named(
            &format!("update message set alias_of = '{of}' where message_id = 'victim workflow'"),
            None,
            "which was not charged with it",
        )
        .await;
    }
    named(
        "update message set consumption_id = gen_random_uuid() where message_id = 'victim trace'",
        None,
        "which was not charged with it",
    )
    .await;
}

#[tokio::test]
async fn a_changed_report_is_named() {
    let victim = Victim::over(books_with_reports().await).await;
    for (of, entry) in [("run", 3), ("text", 6), ("growing", 8)] {
        let statement = format!("delete from sighting where message_id = 'victim {of}'");
        victim
            .expect(&statement, Some(entry), "is not on record")
            .await;
    }
    for change in [
        "message_id = 'nothing'",
        "consumption_id = gen_random_uuid()",
    ] {
        let statement = format!("update sighting set {change} where message_id = 'victim told'");
        let report = victim.report_after(&statement).await;
        assert_eq!(report.broken, 1, "{change}: {:?}", report.findings);
        let what = &report.findings[0].what;
        assert!(what.contains("which was not charged with it"), "{what}");
    }
}

#[tokio::test]
async fn a_changed_price_breaks_the_first_charge_of_every_account_that_names_it() {
    let victim = Victim::open().await;
    for (change, what) in [
        (
            "update price_version set input_nano = input_nano + 1",
            "tokens times its price",
        ),
        (
            "update price_version set is_active = false",
            "was not in force",
        ),
        (
            "update price_version set effective_from = now() + interval '1 day'",
            "was not in force",
        ),
        ("delete from price_version", "which is missing"),
    ] {
        let report = victim.report_after(change).await;
        let entries: Vec<_> = report.findings.iter().map(|it| it.entry).collect();
        assert_eq!(
            (report.broken, entries),
            (2, vec![Some(2), Some(2)]),
            "{change}"
        );
        assert!(
            report.findings[0].what.contains(what),
            "{:?}",
            report.findings
        );
    }
}
