//! A range of accounts, in chunks: each in a snapshot of its own, so that none is held open for long, and
//! small enough to keep what is to be looked up besides.

use std::collections::HashMap;

use futures::TryStreamExt;
use sqlx::Connection as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::course::AccountWalk;
use super::credit_rows::CreditRows;
use super::references::References;
use super::walk::Walk;
use crate::error::Result;
use crate::records::checkpoint::Checkpoint;
use crate::store::verification::BY_KEYS;
use crate::store::verification::account::{self, MaybeCheckpointRow, NewCheckpoint, StoredAccount};
use crate::store::verification::entry::{StoredEntryPlace, entries};
use crate::verify::report::{Finding, Pass, to_u64};

/// Accounts of a chunk, and entries after which it takes no further account in.
const ACCOUNTS_MAX: i64 = 2_000;
const ENTRIES_MAX: i64 = 20_000;

/// Walks along all accounts in a range of ids.
pub(super) async fn range(run: &AccountWalk, (first, last): (Uuid, Uuid)) -> Result<Pass> {
    let mut pass = Pass::default();
    let mut carried = None;
    let mut next = Some(first);
    while let Some(from) = next {
        let mut connection = run.pool.acquire().await?;
        let mut tx = connection.begin_with(BY_KEYS).await?;
        let chunk =
            AccountChunk::walk(run, &mut tx, (from, last), carried.take(), &mut pass).await?;
        tx.rollback().await?;
        account::keep(&mut *connection, &chunk.checkpoints).await?;
        account::forget(&mut *connection, &chunk.broken).await?;
        carried = chunk.carried;
        next = chunk.next;
    }
    Ok(pass)
}

/// What is left after a chunk.
struct AccountChunk {
    /// The account whose entries go on in the next one.
    carried: Option<Walk>,
    /// The first account of the next one.
    next: Option<Uuid>,
    checkpoints: Vec<NewCheckpoint>,
    broken: Vec<Uuid>,
}

impl AccountChunk {
    async fn walk(
        run: &AccountWalk,
        tx: &mut PgConnection,
        (first, last): (Uuid, Uuid),
        carried: Option<Walk>,
        pass: &mut Pass,
    ) -> Result<Self> {
        let rows = account::accounts(tx, (first, last), ACCOUNTS_MAX).await?;
        let found = to_i64(rows.len());
        let accounts = chosen(run, rows, carried, pass);
        let Some((last_row, _)) = accounts.last() else {
            return Ok(Self::end());
        };
        let last_id = last_row.account_id;
        let is_end = found < ACCOUNTS_MAX && to_i64(accounts.len()) == found;
        let mut walked = Walked::read(run, tx, accounts, last_id).await?;
        walked.count(pass);
        walked
            .references
            .look_up(run, tx, &mut walked.walks)
            .await?;
        let held = account::open_holds(tx, (first, last_id)).await?;
        let mut chunk = walked.close(run, held, pass)?;
        chunk.next = match &chunk.carried {
            Some(walk) => Some(walk.account_id),
            None if is_end => None,
            None => Some(after(last_id)),
        };
        Ok(chunk)
    }

    const fn end() -> Self {
        Self {
            carried: None,
            next: None,
            checkpoints: Vec::new(),
            broken: Vec::new(),
        }
    }
}

/// The accounts that a chunk takes in, each with where the walk along it begins.
fn chosen(
    run: &AccountWalk,
    rows: Vec<StoredAccount>,
    mut carried: Option<Walk>,
    pass: &mut Pass,
) -> Vec<(StoredAccount, Walk)> {
    let mut chosen = Vec::new();
    let mut entries = 0_i64;
    for row in rows {
        if entries >= ENTRIES_MAX {
            break;
        }
        let walk = match carried.take_if(|walk| walk.account_id == row.account_id) {
            Some(walk) => walk,
            None => {
                pass.count("accounts", 1);
                begin(run, &row, pass)
            }
        };
        let new = row.entry_count.saturating_sub(walk.read);
        entries = entries.saturating_add(new.clamp(0, ENTRIES_MAX));
        chosen.push((row, walk));
    }
    chosen
}

fn begin(run: &AccountWalk, row: &StoredAccount, pass: &mut Pass) -> Walk {
    let told = row.checkpoint.checkpoint_entry;
    let checkpoint = row.checkpoint.read(row.account_id);
    let sealed = checkpoint.filter(|checkpoint| {
        let seal = row.checkpoint.checkpoint_seal.as_deref();
        seal.is_some_and(|seal| checkpoint.is_sealed_by(seal, &run.sealing))
    });
    match (told, sealed) {
        (Some(_), None) => {
            let mut walk = Walk::from_first(row.account_id, None);
            walk.find(None, "its checkpoint was changed, or made with another key");
            walk
        }
        (_, Some(checkpoint)) if run.from_checkpoints => {
            pass.count("checkpoints", 1);
            Walk::from(&checkpoint)
        }
        (_, checkpoint) => Walk::from_first(row.account_id, checkpoint),
    }
}

/// A chunk of which all entries were read.
struct Walked {
    accounts: Vec<StoredAccount>,
    walks: Vec<Walk>,
    credits: CreditRows,
    references: References,
    entries: u64,
    charges: u64,
    /// How many rows of the last account there were.
    last_rows: i64,
}

impl Walked {
    async fn read(
        run: &AccountWalk,
        tx: &mut PgConnection,
        accounts: Vec<(StoredAccount, Walk)>,
        last_id: Uuid,
    ) -> Result<Self> {
        let (accounts, walks): (Vec<_>, Vec<_>) = accounts.into_iter().unzip();
        let ids: Vec<Uuid> = walks.iter().map(|walk| walk.account_id).collect();
        let after: Vec<i64> = walks.iter().map(|walk| walk.entry).collect();
        let from: Vec<i64> = walks.iter().map(|walk| walk.read + 1).collect();
        let credits = account::credits(tx, &ids, &after, ENTRIES_MAX).await?;
        let mut walked = Self {
            accounts,
            walks,
            credits: CreditRows::new(credits),
            references: References::default(),
            entries: 0,
            charges: 0,
            last_rows: 0,
        };
        let mut rows = std::pin::pin!(entries(tx, &ids, &from, ENTRIES_MAX, &run.cut));
        let mut current = 0;
        while let Some(row) = rows.try_next().await? {
            let place = StoredEntryPlace::of(&row)?;
            while walked
                .walks
                .get(current)
                .is_some_and(|it| it.account_id != place.account_id)
            {
                current += 1;
            }
            walked.last_rows += i64::from(place.account_id == last_id);
            let Some(walk) = walked.walks.get_mut(current) else {
                continue;
            };
            walk.read = place.entry;
            if walk.meets_checkpoint(place) {
                continue;
            }
            walked.entries += 1;
            if let Some(entry) = walk.step(place, &row, &mut walked.credits, &run.pricing)
                && let Some(message) = entry.message()
            {
                walked.charges += u64::from(message.before.is_none());
                let is_counted = run.tally.is_none() || place.is_old;
                walked.references.add(current, &entry, message, is_counted);
            }
        }
        Ok(walked)
    }

    fn count(&self, pass: &mut Pass) {
        pass.count("entries", self.entries);
        pass.count("charges", self.charges);
    }

    /// Ends the walk along each account, but the last one's if its entries go on.
    fn close(
        mut self,
        run: &AccountWalk,
        held: Vec<(Uuid, i64)>,
        pass: &mut Pass,
    ) -> Result<AccountChunk> {
        let held: HashMap<Uuid, i64> = held.into_iter().collect();
        let mut chunk = AccountChunk::end();
        if self.last_rows >= ENTRIES_MAX {
            chunk.carried = self.walks.pop();
            self.accounts.pop();
        }
        for (mut walk, row) in self.walks.into_iter().zip(self.accounts) {
            let held = held.get(&row.account_id).copied().unwrap_or(0);
            walk.close(&row, held, &mut self.credits);
            match walk.fault.take() {
                Some((entry, what)) => {
                    chunk.broken.push(row.account_id);
                    pass.find(Finding {
                        user_id: Some(row.user_id),
                        ..Finding::at(row.account_id, entry, what)
                    });
                }
                None if walk.has_moved() => {
                    chunk
                        .checkpoints
                        .push(new_checkpoint(&walk.checkpoint(), run)?);
                }
                None => {}
            }
        }
        Ok(chunk)
    }
}

impl MaybeCheckpointRow {
    fn read(&self, account_id: Uuid) -> Option<Checkpoint> {
        Some(Checkpoint {
            account_id,
            entry: self.checkpoint_entry?,
            hash: self.checkpoint_hash.as_deref()?.try_into().ok()?,
            balance_nano: self.checkpoint_balance_nano?,
            credits: serde_json::from_value(self.checkpoint_credits.clone()?).ok()?,
        })
    }
}

fn new_checkpoint(checkpoint: &Checkpoint, run: &AccountWalk) -> Result<NewCheckpoint> {
    Ok(NewCheckpoint {
        account_id: checkpoint.account_id,
        entry: checkpoint.entry,
        hash: checkpoint.hash.to_vec(),
        balance_nano: checkpoint.balance_nano,
        credits: Json(checkpoint.credits.clone()),
        seal: checkpoint.seal(&run.sealing)?,
    })
}

fn to_i64(length: usize) -> i64 {
    i64::try_from(to_u64(length)).unwrap_or(i64::MAX)
}

/// The id after another one.
fn after(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_add(1))
}
