//! Invariant 6: what somebody changes behind the ledger's back, verification names.

use shared::tokens::Tokens;
use sqlx::AssertSqlSafe;

use crate::{Books, message, user};

/// As the database's owner, past the triggers.
async fn tamper(books: &Books, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "begin; set local session_replication_role = replica; {statements}; commit"
    )))
    .execute(&books.pool)
    .await
    .unwrap();
}

async fn books_with_two_accounts() -> Books {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    for name in ["honest", "victim"] {
        books.grant(name, "10").await;
        for number in 0..4 {
            let used = message(
                &format!("{name}{number}"),
                name,
                "m",
                Tokens::new(1000, number),
            );
            books.ledger.deliver(books.delivery(used)).await.unwrap();
        }
    }
    books.assert_verified().await;
    books
}

const VICTIM: &str = "account_id = (select account_id from account where user_id = 'victim')";

/// Runs the tampering and expects one finding, at the victim, at `entry`, saying `what`.
async fn expect(statements: String, entry: Option<i64>, what: &str) {
    let books = books_with_two_accounts().await;
    tamper(&books, &statements).await;
    let report = books.ledger.verify(None).await.unwrap();
    assert!(!report.ok);
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.what.contains(what))
        .unwrap_or_else(|| panic!("{statements}: {:?}", report.findings));
    assert_eq!(
        (finding.user_id.as_deref(), finding.entry),
        (Some("victim"), entry),
        "{statements}"
    );
    assert!(books.ledger.verify(Some(&user("honest"))).await.unwrap().ok);
    assert!(!books.ledger.verify(Some(&user("victim"))).await.unwrap().ok);
}

#[tokio::test]
async fn a_changed_entry_is_named() {
    expect(format!("update journal_entry set amount_nano = amount_nano + 1, balance_after_nano = balance_after_nano + 1 where {VICTIM} and entry = 3"), Some(3), "was changed").await;
    expect(format!("update journal_entry set occurred_at = occurred_at - interval '1 second' where {VICTIM} and entry = 2"), Some(2), "was changed").await;
}

#[tokio::test]
async fn a_removed_entry_is_named() {
    expect(
        format!("delete from journal_entry where {VICTIM} and entry = 3"),
        Some(4),
        "entry 3 is missing",
    )
    .await;
    expect(format!("delete from consumption where {VICTIM} and entry = 5; delete from journal_entry where {VICTIM} and entry = 5; delete from message where message_id = 'victim3'"), None, "the last ones are missing").await;
}

#[tokio::test]
async fn reordered_entries_are_named() {
    let swap = format!(
        "update journal_entry set entry = 100 where {VICTIM} and entry = 3;
         update journal_entry set entry = 3 where {VICTIM} and entry = 4;
         update journal_entry set entry = 4 where {VICTIM} and entry = 100"
    );
    expect(swap, Some(3), "does not continue").await;
}

#[tokio::test]
async fn a_changed_consumption_is_named() {
    expect(
        format!("update consumption set total_tokens = 1 where {VICTIM} and entry = 2"),
        Some(2),
        "was changed",
    )
    .await;
    expect(format!("update consumption set lines = jsonb_set(lines, '{{0,tokens,input}}', '999') where {VICTIM} and entry = 2"), Some(2), "was changed").await;
    expect(
        format!("delete from consumption where {VICTIM} and entry = 2"),
        Some(2),
        "was changed",
    )
    .await;
}

#[tokio::test]
async fn a_changed_balance_is_named() {
    expect(
        format!("update account set balance_nano = balance_nano + 1 where {VICTIM}"),
        None,
        "is not the sum",
    )
    .await;
}

#[tokio::test]
async fn a_removed_identity_is_named() {
    expect(
        "delete from message where message_id = 'victim1'".into(),
        Some(3),
        "identity is missing",
    )
    .await;
}

#[tokio::test]
async fn a_rewritten_price_breaks_every_charge_that_names_it() {
    let books = books_with_two_accounts().await;
    tamper(
        &books,
        "update price_version set input_nano = input_nano + 1",
    )
    .await;
    let report = books.ledger.verify(None).await.unwrap();
    assert_eq!(report.broken, 2);
    assert!(report.findings[0].what.contains("tokens times its price"));
}
