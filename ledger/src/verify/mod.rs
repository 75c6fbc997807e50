//! Recomputes everything the ledger claims, from its rows alone.
//!
//! In passes, one after the other: along the accounts, over the messages, over the quarantine, over the sums.
//! Each reads on as many connections as there are cores, and keeps a chunk of rows at a time, however
//! long the journal is: in many short snapshots, but for the last, which needs the mark of the sums and
//! the journal of a sixteenth of the accounts as of one moment. Another chain is another pass.

mod accounts;
mod messages;
mod pricing;
mod quarantine;
mod ranges;
mod report;
mod sums;
mod tally;

use std::collections::{BTreeSet, HashMap};
use std::hash::RandomState;
use std::sync::{Arc, Mutex};

use shared::ids::UserId;
use sqlx::Connection as _;
use uuid::Uuid;

use self::accounts::AccountWalk;
use self::messages::{ClaimScan, MessageReplay};
use self::pricing::Pricing;
use self::tally::Tally;
use crate::error::{Error, Result};
use crate::operations::ledger::Ledger;
use crate::records::hash::account_id;
use crate::store::verification::{AS_IT_COMES, Cut, account, claim, cut, stray};

pub use report::{Finding, Pass, VerifyReport};

impl Ledger {
    /// Verifies all books, or one account, from the first entry on. Accounts that are found to be right
    /// get a checkpoint.
    ///
    /// # Errors
    /// [`crate::Error::Database`]; what is wrong with the books is in the report.
    pub async fn verify(&self, account: Option<&UserId>) -> Result<VerifyReport> {
        Box::pin(self.verify_books(account, false)).await
    }

    /// As [`Ledger::verify`], going on from the checkpoint of each account: finds what is wrong with
    /// everything that was entered since.
    ///
    /// # Errors
    /// As [`Ledger::verify`].
    pub async fn verify_from_checkpoints(&self, account: Option<&UserId>) -> Result<VerifyReport> {
        Box::pin(self.verify_books(account, true)).await
    }

    async fn verify_books(
        &self,
        account: Option<&UserId>,
        from_checkpoints: bool,
    ) -> Result<VerifyReport> {
        let verification = Verification::begin(self, from_checkpoints).await?;
        let mut passes = match account {
            Some(user) => {
                let id = account_id(user);
                let walk = Arc::new(verification.account_walk(None));
                vec![walk.run(vec![(id, id)]).await?]
            }
            None => verification.run().await?,
        };
        // What is wrong with the journal is wrong with its sums too, and they say nothing more. Going on
        // from checkpoints does not read what they are of.
        let mut of_journal = passes.iter().filter(|pass| pass.name != "quarantine");
        if !from_checkpoints && of_journal.all(|pass| pass.broken == 0) {
            passes.push(sums::sums(self.pool(), account.map(account_id)).await?);
        }
        self.name_users(&mut passes).await?;
        Ok(VerifyReport::new(passes))
    }

    /// Says whose the accounts are that something was found at, and forgets their checkpoints: one was
    /// made if only another pass than that along accounts found it.
    async fn name_users(&self, passes: &mut [Pass]) -> Result<()> {
        let findings = passes.iter().flat_map(|pass| &pass.findings);
        let ids: BTreeSet<Uuid> = findings.filter_map(|finding| finding.account_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        account::forget(self.pool(), &ids).await?;
        let users = account::users(self.pool(), &ids).await?;
        let users: HashMap<Uuid, String> = users.into_iter().collect();
        for finding in passes.iter_mut().flat_map(|pass| &mut pass.findings) {
            if finding.user_id.is_none() {
                finding.user_id = finding.account_id.and_then(|id| users.get(&id).cloned());
            }
        }
        Ok(())
    }
}

/// What all passes go by.
struct Verification<'a> {
    ledger: &'a Ledger,
    pricing: Arc<Pricing>,
    cut: Cut,
    claim_blocks: i64,
    from_checkpoints: bool,
}

impl<'a> Verification<'a> {
    async fn begin(ledger: &'a Ledger, from_checkpoints: bool) -> Result<Self> {
        let mut connection = ledger.pool().acquire().await?;
        Ok(Self {
            ledger,
            cut: cut(&mut connection).await?,
            pricing: Arc::new(Pricing::read(&mut connection).await?),
            claim_blocks: claim::blocks(&mut *connection).await?,
            from_checkpoints,
        })
    }

    fn account_walk(&self, tally: Option<Tally>) -> AccountWalk {
        AccountWalk {
            pool: self.ledger.pool().clone(),
            sealing: self.ledger.inner.sealing.clone(),
            pricing: Arc::clone(&self.pricing),
            cut: self.cut.clone(),
            from_checkpoints: self.from_checkpoints,
            tally: tally.map(Mutex::new),
        }
    }

    async fn run(&self) -> Result<Vec<Pass>> {
        let empty = (!self.from_checkpoints).then(|| Tally::new(RandomState::new()));
        let walk = Arc::new(self.account_walk(empty.clone()));
        let mut accounts = walk.run(ranges::id_ranges()).await?;
        let replay = Arc::new(MessageReplay {
            pool: self.ledger.pool().clone(),
            pricing: Arc::clone(&self.pricing),
            cut: self.cut.clone(),
            tally: empty.clone().map(Mutex::new),
        });
        let mut messages = replay.run().await?;
        if let (Some(empty), Some(journal), Some(events)) = (empty, &walk.tally, &replay.tally) {
            self.strays(&mut accounts).await?;
            let scan = Arc::new(ClaimScan {
                pool: self.ledger.pool().clone(),
                cut: self.cut.clone(),
                blocks: self.claim_blocks,
                tally: Mutex::new(empty),
            });
            scan.run(&mut messages).await?;
            let mut told_by_claims = journal.lock().map_err(|_| Error::Stopped)?.clone();
            told_by_claims.take_all(&*events.lock().map_err(|_| Error::Stopped)?);
            scan.compare(&told_by_claims, &mut messages).await?;
        }
        let quarantine = quarantine::quarantine(self.ledger.pool()).await?;
        Ok(vec![accounts, messages, quarantine])
    }

    /// Rows that the walk along accounts never meets.
    async fn strays(&self, pass: &mut Pass) -> Result<()> {
        let mut connection = self.ledger.pool().acquire().await?;
        let mut tx = connection.begin_with(AS_IT_COMES).await?;
        for row in stray::without_account(&mut tx).await? {
            pass.find(Finding::at(row.account_id, None, row.what));
        }
        tx.rollback().await?;
        Ok(())
    }
}
