//! The walk along accounts: every entry by itself and as the next one of its account, and the account as
//! their end.
//!
//! It begins at the first entry, or goes on from the account's checkpoint. From a checkpoint on, it finds
//! all that it would find from the first entry, for the entries after it. What is not seen is what
//! became of the rows before: of entries (but the checkpoint's own, which is compared), of credits that
//! were used up before, and of claims of older messages; the whole walk finds that. A checkpoint that was
//! made by somebody else is found either way, because it is sealed; an older one of the same account, put
//! back, only makes the walk longer.

mod chunk;
mod course;
mod credit_rows;
mod credits;
mod entry;
mod references;
mod walk;

use std::sync::Arc;

use uuid::Uuid;

use super::ranges::in_parallel;
use super::report::Pass;
use crate::error::Result;

pub(super) use course::AccountWalk;

impl AccountWalk {
    /// Along the accounts in some ranges of ids.
    pub(super) async fn run(self: &Arc<Self>, ranges: Vec<(Uuid, Uuid)>) -> Result<Pass> {
        let walked = in_parallel(ranges, |range| {
            let walk = Arc::clone(self);
            Box::pin(async move { chunk::range(&walk, range).await })
        });
        let mut pass = Pass::new("accounts");
        for name in ["accounts", "checkpoints", "entries", "charges"] {
            pass.count(name, 0);
        }
        walked.await?.into_iter().for_each(|part| pass.add(part));
        Ok(pass)
    }
}
