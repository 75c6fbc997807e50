//! Work that recurs, in one process at a time.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::sleep;
use tracing::error;

use crate::error::Result;
use crate::operations::ledger::Ledger;
use crate::store::advisory_lock;
use crate::store::connection::ping;

const TICK: Duration = Duration::from_secs(1);
const TICKS_BETWEEN_MAINTENANCE: u32 = 60 * 60;
const BETWEEN_OLD_DELIVERIES: Duration = Duration::from_secs(60 * 60);
/// Until the log of deliveries may be free.
const LOG_IN_USE_PAUSE: Duration = Duration::from_secs(30);

impl Ledger {
    /// Does the recurring work of the ledger for as long as it is polled: expires holds and
    /// credits, resumes jobs, delivers traces, keeps sums, looks after partitions and drops old
    /// ones. Any number of processes may run it; one at a time acts.
    pub async fn run_jobs(&self) {
        loop {
            if let Err(error) = self.lead().await {
                error!(%error, "recurring work was interrupted");
            }
            sleep(TICK).await;
        }
    }

    /// Takes the lead if nobody has it, then works until something fails.
    async fn lead(&self) -> Result<()> {
        let mut connection = self.pool().acquire().await?.detach();
        if !advisory_lock::try_lead(&mut connection).await? {
            return Ok(());
        }
        // Side by side: a job may take minutes, and what is to expire must not wait for it.
        tokio::try_join!(
            self.look_after(&mut connection),
            self.resume(),
            self.deliver_traces(),
            self.keep_sums(),
            self.drop_what_is_old(),
        )
        .map(drop)
    }

    /// Works for as long as the connection that holds the lead lasts.
    async fn look_after(&self, leading: &mut PgConnection) -> Result<()> {
        let mut ticks = 0_u32;
        loop {
            // Fails when the connection, and the lead with it, is gone.
            ping(&mut *leading).await?;
            self.expire_holds().await?;
            self.expire_credits().await?;
            if ticks.is_multiple_of(TICKS_BETWEEN_MAINTENANCE) {
                self.maintain().await?;
            }
            ticks = ticks.wrapping_add(1);
            sleep(TICK).await;
        }
    }

    async fn resume(&self) -> Result<()> {
        loop {
            self.resume_jobs().await?;
            sleep(TICK).await;
        }
    }

    async fn drop_what_is_old(&self) -> Result<()> {
        loop {
            let is_done = self.drop_old_deliveries().await?;
            sleep(if is_done {
                BETWEEN_OLD_DELIVERIES
            } else {
                LOG_IN_USE_PAUSE
            })
            .await;
        }
    }

    /// Readers of sums need not wait for it, so it takes its time: what is entered together costs less to
    /// add.
    async fn keep_sums(&self) -> Result<()> {
        loop {
            self.sum_up().await?;
            sleep(TICK).await;
        }
    }
}
