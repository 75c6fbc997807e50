//! What verification finds when it goes on from checkpoints, and what only the whole one does.

use ledger::VerifyReport;
use shared::tokens::Tokens;

use super::{Victim, books_with_accounts};
use crate::{Books, message};

/// Books with a checkpoint at entry 10 of each account, and an entry after that.
async fn books_with_checkpoints() -> Books {
    let books = books_with_accounts().await;
    let counted = books.ledger.verify_from_checkpoints(None).await.unwrap();
    assert_eq!(
        (counted.count("checkpoints"), counted.count("entries")),
        (2, 0)
    );
    for name in ["honest", "victim"] {
        let used = message(&format!("{name} new"), name, "m", Tokens::new(1000, 0));
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    books
}

impl Victim {
    async fn report_from_checkpoints(&self, statements: &str) -> VerifyReport {
        self.tamper(statements).await;
        self.books
            .ledger
            .verify_from_checkpoints(None)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn verification_goes_on_from_where_it_ended() {
    let books = books_with_checkpoints().await;
    let verify = async || books.ledger.verify_from_checkpoints(None).await.unwrap();
    let report = verify().await;
    assert!(report.ok, "{report:?}");
    assert_eq!((report.count("accounts"), report.count("entries")), (3, 2));
    assert_eq!(verify().await.count("entries"), 0);
    let whole = books.ledger.verify(None).await.unwrap();
    assert_eq!((whole.count("accounts"), whole.count("entries")), (3, 22));
    assert!(whole.ok, "{whole:?}");
}

#[tokio::test]
async fn what_was_changed_since_is_found_from_the_checkpoint_on() {
    let victim = Victim::over(books_with_checkpoints().await).await;
    for (statements, entry, what) in [
        (
            "update journal_entry set occurred_at = now() where VICTIM and entry = 11",
            Some(11),
            "was changed",
        ),
        (
            "delete from journal_entry where VICTIM and entry = 11",
            None,
            "the last ones are missing",
        ),
        (
            "delete from claim where id = copy.id('victim new')",
            Some(11),
            "claim is missing",
        ),
        (
            "update credit set remaining_nano = remaining_nano - 1 where VICTIM and entry = 6",
            Some(6),
            "what is left of its credit",
        ),
        (
            "update account set balance_nano = 0 where VICTIM",
            None,
            "balance is not the sum",
        ),
        // The checkpoint's own entry.
        (
            "update journal_entry set hash = sha256('x') where VICTIM and entry = 10",
            Some(10),
            "the entry of its checkpoint",
        ),
    ] {
        let report = victim.report_from_checkpoints(statements).await;
        let finding = report.findings()[0];
        assert!(finding.what.contains(what), "{statements}: {finding:?}");
        assert_eq!(
            (finding.user_id.as_deref(), finding.entry),
            (Some("victim"), entry),
            "{statements}"
        );
    }
}

#[tokio::test]
async fn what_was_changed_before_a_checkpoint_is_found_by_the_whole_verification_and_ever_after() {
    let victim = Victim::over(books_with_checkpoints().await).await;
    let change = "update journal_entry set reason = 'another reason' where VICTIM and entry = 1";
    let report = victim.report_from_checkpoints(change).await;
    assert!(report.ok, "{report:?}");
    victim.expect(change, Some(1), "was changed").await;
    let again = victim
        .books
        .ledger
        .verify_from_checkpoints(None)
        .await
        .unwrap();
    assert_eq!(again.findings()[0].entry, Some(1), "{again:?}");
}

#[tokio::test]
async fn a_moved_checkpoint_is_named() {
    let victim = Victim::over(books_with_checkpoints().await).await;
    for change in [
        "entry = entry - 1",
        "hash = sha256('x')",
        "balance_nano = balance_nano + 1",
        "credits = '[]'",
        "credits = '7'",
        "seal = sha256('x')",
        "seal = (select seal from account_checkpoint where not VICTIM limit 1)",
    ] {
        let change = format!("update account_checkpoint set {change} where VICTIM");
        for report in [
            victim.report_from_checkpoints(&change).await,
            victim.report_after(&change).await,
        ] {
            assert_eq!(report.broken, 1, "{change}: {report:?}");
            let what = &report.findings()[0].what;
            assert!(
                what.contains("its checkpoint was changed"),
                "{change}: {what}"
            );
        }
    }
    // The one of another account.
    let report = victim
        .report_after(
            "delete from account_checkpoint where VICTIM;
             update account_checkpoint set account_id = (select account_id from account
                 where user_id = 'victim')",
        )
        .await;
    assert_eq!(report.broken, 1, "{report:?}");
}
