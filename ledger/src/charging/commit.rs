//! One transaction for one group of reports: decides in memory, writes, and gives each its verdict.
//!
//! Three ways, each tried where the one before does not do:
//! 1. by what this writer knows: its reports are new, its accounts are as it left them. One round trip;
//! 2. by what is on record, read without locks. The write refuses what has changed since;
//! 3. under the locks of the accounts, which is also where quarantine and holds are looked at.

use std::collections::{HashMap, HashSet};

use shared::api::HoldStatus;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::batch::{Batch, HeldPoints, Verdict};
use super::delivery::{Delivery, IdentifiedDelivery};
use super::record::Record;
use super::write::{write_at_once, write_locked};
use crate::error::{Error, Result, is_known};
use crate::posting::accounts::{self, Account, Accounts};
use crate::posting::cache::{AccountCache, RecentClaims};
use crate::posting::clock::DatabaseClock;
use crate::process::price_cache::PriceCache;
use crate::records::hash::MessageId;
use crate::store;
use crate::store::advisory_lock::PRICE_LOCK;

/// What a writer keeps between groups.
pub(super) struct Committer {
    pub prices: PriceCache,
    /// Tokens one message may report; one with more waits for an administrator.
    pub message_tokens_max: u64,
    pub accounts: AccountCache,
    pub claims: RecentClaims,
    pub clock: DatabaseClock,
}

impl Committer {
    /// Prices, deduplicates, chains and writes a group, and gives one verdict for each report, in order.
    pub(super) async fn commit(
        &mut self,
        connection: &mut PgConnection,
        deliveries: &[Delivery],
    ) -> Result<Vec<Verdict>> {
        let is_plain = deliveries.iter().all(Delivery::is_plain);
        let deliveries: Vec<_> = deliveries.iter().map(IdentifiedDelivery::of).collect();
        let deliveries = deliveries.as_slice();
        let ids = deliveries
            .iter()
            .flat_map(|it| it.ids.iter().chain(&it.call_ids));
        let ids: Vec<MessageId> = ids.copied().collect();
        let account_ids = accounts::ordered(deliveries.iter().map(|it| it.account_id));
        if is_plain {
            let is_new = ids.iter().all(|id| !self.claims.contains(&id.0));
            if is_new
                && let Some(verdicts) = self
                    .commit_known(connection, deliveries, &account_ids)
                    .await?
            {
                return Ok(verdicts);
            }
            if deliveries.iter().all(|it| it.delivery.hold_id.is_none())
                && let Some(verdicts) = self
                    .commit_read(connection, deliveries, &ids, &account_ids)
                    .await?
            {
                return Ok(verdicts);
            }
        }
        self.commit_locked(connection, deliveries, &ids, &account_ids)
            .await
    }

    /// As reports of messages that nobody has heard of, on accounts as this writer left them. `None`,
    /// and nothing is written, when that is not so.
    async fn commit_known(
        &mut self,
        connection: &mut PgConnection,
        deliveries: &[IdentifiedDelivery<'_>],
        account_ids: &[Uuid],
    ) -> Result<Option<Vec<Verdict>>> {
        let Some(accounts) = self.known_accounts(connection, account_ids).await? else {
            return Ok(None);
        };
        self.write_unlocked(connection, deliveries, accounts, Record::default(), true)
            .await
    }

    /// As what is on record has it.
    async fn commit_read(
        &mut self,
        connection: &mut PgConnection,
        deliveries: &[IdentifiedDelivery<'_>],
        ids: &[MessageId],
        account_ids: &[Uuid],
    ) -> Result<Option<Vec<Verdict>>> {
        let record = Record::read(connection, ids).await?;
        self.accounts.forget(account_ids.iter().copied());
        let Some(accounts) = self.known_accounts(connection, account_ids).await? else {
            return Ok(None);
        };
        self.prices.refresh(connection).await?;
        self.write_unlocked(connection, deliveries, accounts, record, false)
            .await
    }

    async fn write_unlocked(
        &mut self,
        connection: &mut PgConnection,
        deliveries: &[IdentifiedDelivery<'_>],
        accounts: Accounts,
        record: Record,
        is_guess: bool,
    ) -> Result<Option<Vec<Verdict>>> {
        let book = self.prices.current();
        let mut batch = Batch::new(self.message_tokens_max, accounts, record);
        let verdicts = batch.take_all(deliveries, &book)?;
        if !batch.is_simple() {
            return Ok(None);
        }
        match write_at_once(connection, &batch, book.revision()).await {
            Ok(true) => {
                self.remember(batch);
                Ok(Some(verdicts))
            }
            Ok(false) => {
                let ids = deliveries.iter().map(|it| it.account_id);
                self.accounts.forget(ids);
                Ok(None)
            }
            // Somebody else has heard of one of them.
            Err(Error::Database(error)) if is_guess && is_known(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The accounts as this writer left them; those that it does not know are read. `None` when one
    /// is not open yet.
    async fn known_accounts(
        &mut self,
        connection: &mut PgConnection,
        ids: &[Uuid],
    ) -> Result<Option<Accounts>> {
        let unknown: Vec<Uuid> = ids
            .iter()
            .filter(|id| self.accounts.get(id).is_none())
            .copied()
            .collect();
        if !unknown.is_empty() {
            let rows = store::account::read(connection, &unknown).await?;
            if let Some(row) = rows.first() {
                self.clock.set(row.now);
            }
            for account in Account::from_rows(rows) {
                self.accounts.put(account);
            }
        }
        let now = match self.clock.now() {
            Some(now) => now,
            None => self.ask_time(connection).await?,
        };
        let known = ids.iter().map(|id| self.accounts.get(id).cloned());
        match known.collect::<Option<Vec<_>>>() {
            Some(known) => Accounts::known(known, now).map(Some),
            None => Ok(None),
        }
    }

    async fn ask_time(&mut self, connection: &mut PgConnection) -> Result<OffsetDateTime> {
        let now = store::account::now(connection).await?;
        self.clock.set(now);
        Ok(now)
    }

    /// While the accounts are locked, and the shared price lock is held: no price can be published,
    /// so the book read below stays the right one until the commit.
    async fn commit_locked(
        &mut self,
        connection: &mut PgConnection,
        deliveries: &[IdentifiedDelivery<'_>],
        ids: &[MessageId],
        account_ids: &[Uuid],
    ) -> Result<Vec<Verdict>> {
        self.accounts.forget(account_ids.iter().copied());
        loop {
            let mut tx = connection.begin_with(BEGIN).await?;
            let locked = accounts::lock(&mut tx, account_ids.iter().copied()).await?;
            let Some(accounts) = locked else {
                tx.rollback().await?;
                let users = deliveries.iter().map(|it| &it.delivery.message.user_id);
                accounts::open(connection, &users.collect::<Vec<_>>()).await?;
                continue;
            };
            let holds = read_holds(&mut tx, deliveries).await?;
            let settled = holds.values().filter_map(|held| held.message);
            let all: Vec<MessageId> = ids.iter().copied().chain(settled).collect();
            let mut record = Record::read(&mut tx, &all).await?;
            let waiting = lock_waiting(&mut tx, &mut record, deliveries).await?;
            let book = self.prices.refresh(&mut tx).await?;
            let mut batch = Batch::new(self.message_tokens_max, accounts, record);
            batch.holds = holds;
            batch.are_holds_read = true;
            batch.waiting = waiting;
            let verdicts = batch.take_all(deliveries, &book)?;
            write_locked(&mut tx, &batch).await?;
            tx.commit().await?;
            self.remember(batch);
            return Ok(verdicts);
        }
    }

    fn remember(&mut self, batch: Batch<'_>) {
        for claim in &batch.claims {
            self.claims.put(claim.id);
        }
        for account in batch.accounts.into_written() {
            self.accounts.put(account);
        }
    }
}

/// The transaction begins by joining the price lock, in the same round trip.
const BEGIN: &str = "begin; select pg_advisory_xact_lock_shared(128021909209090)";
const _: () = assert!(PRICE_LOCK == 128_021_909_209_090);

/// The holds that the group settles; their accounts are locked.
async fn read_holds(
    tx: &mut PgConnection,
    deliveries: &[IdentifiedDelivery<'_>],
) -> Result<HashMap<Uuid, HeldPoints>> {
    let named = deliveries
        .iter()
        .filter_map(|it| Some((it.account_id, it.delivery.hold_id?)));
    let rows = store::hold::find(tx, &named.collect::<Vec<_>>()).await?;
    let held = rows.into_iter().map(|row| {
        let mut all = HoldStatus::ALL.into_iter();
        let status = all.find(|status| status.as_str() == row.status);
        let held = HeldPoints {
            status: status.ok_or_else(|| Error::corrupt(format!("hold status {}", row.status)))?,
            amount_nano: row.amount_nano,
            message: row.message.map(MessageId),
        };
        Ok((row.hold_id, held))
    });
    held.collect()
}

/// Locks the quarantine rows that the group may end, so that none is dismissed meanwhile, and forgets
/// those that have stopped waiting.
async fn lock_waiting(
    tx: &mut PgConnection,
    record: &mut Record,
    deliveries: &[IdentifiedDelivery<'_>],
) -> Result<HashSet<Uuid>> {
    let resolved = deliveries
        .iter()
        .filter_map(|it| Some(it.delivery.resolves.as_ref()?.quarantine_id));
    let ids: Vec<Uuid> = record.waiting().chain(resolved).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let waiting = store::quarantine::lock_waiting(tx, &ids).await?;
    let waiting: HashSet<Uuid> = waiting.into_iter().collect();
    record.keep_waiting(&waiting);
    Ok(waiting)
}
