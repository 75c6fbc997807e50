//! Invariant 6: what somebody changes behind the ledger's back, verification names.

mod checkpoints;
mod messages;

use ledger::{Finding, Grant, VerifyReport};
use shared::api::CheckBalance;
use shared::tokens::Tokens;
use sqlx::AssertSqlSafe;

use crate::{Books, actor, message, now, points, user};

/// Books that can be tampered with again and again.
struct Victim {
    books: Books,
    /// Puts the books back as they were.
    restore: String,
}

const TABLES: [&str; 10] = [
    "account",
    "account_checkpoint",
    "journal_entry",
    "claim",
    "message_event",
    "credit",
    "hold",
    "quarantine",
    "delivery",
    "price_version",
];

/// The digest under which an id is claimed, in SQL.
const DIGEST: &str = r"create function copy.id(id text) returns uuid language sql as $$
    select encode(substr(sha256('\x746f6c6c67617465206d65737361676500'::bytea
        || int8send((select namespace_id from namespace where name = 'default'))
        || convert_to(id, 'UTF8')), 1, 16), 'hex')::uuid $$;";

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
        sqlx::raw_sql(AssertSqlSafe(format!(
            "create schema copy; {DIGEST} {copies}"
        )))
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
        let finding = report.findings()[0];
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
        assert_eq!(alone.findings()[0].entry, entry, "{statements}");
    }

    /// Expects that it is named where the whole books are verified; of the victim, or of nobody.
    async fn expect_named(&self, statements: &str, entry: Option<i64>, what: &str) {
        let report = self.report_after(statements).await;
        let findings = report.findings();
        let is_named = |finding: &&&Finding| finding.entry == entry && finding.what.contains(what);
        assert!(
            findings.iter().any(|it| is_named(&it)),
            "{statements}: {findings:?}"
        );
        let others = findings
            .iter()
            .filter_map(|finding| finding.user_id.as_deref());
        assert!(
            others.clone().all(|user| user == "victim"),
            "{statements}: {findings:?}"
        );
        let honest = self
            .books
            .ledger
            .verify(Some(&user("honest")))
            .await
            .unwrap();
        assert!(honest.ok, "{statements}: {honest:?}");
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
        ("follows_entry = 3", 9),
        ("hash = sha256('x')", 5),
    ];
    for (change, entry) in changes {
        let statement =
            format!("update journal_entry set {change} where VICTIM and entry = {entry}");
        victim.expect(&statement, Some(entry), "was changed").await;
    }
    victim
        .expect(
            "update journal_entry set kind = 'adjustment' where VICTIM and entry = 1",
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
             delete from claim where VICTIM and entry = 10",
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
    let [missing, told] = report.findings()[..] else {
        panic!("two findings: {:?}", report.findings());
    };
    assert_eq!(
        (missing.entry, missing.what.as_str()),
        (Some(4), "entry 3 is missing before entry 4")
    );
    assert_eq!(told.entry, Some(3));
    assert!(told.what.contains("there is no such entry"), "{told:?}");
    victim
        .expect(
            "insert into credit (account_id, entry, amount_nano, remaining_nano, is_bought)
             select account_id, 99, 1, 1, false from account where VICTIM",
            Some(99),
            "without its journal entry",
        )
        .await;

    victim
        .expect_named(
            "insert into claim values (copy.id('made up'), copy.id('made up'))",
            None,
            "nothing is on record about it",
        )
        .await;
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
            "was changed",
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
            "was changed",
        )
        .await;
}

#[tokio::test]
async fn a_changed_charge_is_named() {
    let victim = Victim::open().await;
    let changes = [
        "message = copy.id('honest0')",
        "message_id = 'honest0'",
        "api_key_id = gen_random_uuid()",
        "namespace_id = namespace_id + 1",
        "entrance = 'gateway'",
        "conversation_id = 'made up'",
        "request_id = 'made up'",
        "lines = jsonb_set(lines, '{0,in}', '999')",
        "lines = jsonb_set(lines, '{0,report}', '1')",
        "lines = lines || lines",
        "lines = '[7]'",
        "cost_nano = 1, owed_nano = 1, basis_nano = 0, cap_nano = 0",
        "message = null, lines = null",
    ];
    for change in changes {
        // What a check refuses, too.
        let statement = format!(
            "alter table journal_entry drop constraint if exists journal_entry_sound;
             update journal_entry set {change} where VICTIM and entry = 2"
        );
        let what = if change.contains("[7]") {
            "cannot be read"
        } else {
            "was changed"
        };
        victim.expect(&statement, Some(2), what).await;
    }
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
    assert_eq!((report.broken, report.findings()[0].entry), (1, None));
    assert!(report.findings()[0].what.contains("another user"));
    let report = victim
        .report_after("delete from account where VICTIM")
        .await;
    let findings = report.findings();
    let whats: Vec<_> = findings.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(whats[0], "entries without an account");
    assert_eq!(
        whats
            .iter()
            .filter(|what| **what == "a hold without an account")
            .count(),
        2
    );
    assert!(whats.contains(&"a credit without an account"));
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
        assert_eq!((report.broken, report.count("accounts")), (1, 3));
        let finding = &report.findings()[0];
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
    assert_eq!((report.broken, report.findings().len()), (1001, 1000));
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
            "update hold set status = 'open', closed_at = null, message = null
             where VICTIM and status = 'settled'",
            None,
            not_the_sum,
        )
        .await;
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
        // Messages of which more is on record are found again when they are replayed.
        let accounts = &report.passes[0];
        let entries: Vec<_> = accounts.findings.iter().map(|it| it.entry).collect();
        assert_eq!(
            (accounts.broken, entries),
            (2, vec![Some(2), Some(2)]),
            "{change}"
        );
        assert!(
            report.findings()[0].what.contains(what),
            "{:?}",
            report.findings()
        );
    }
}
