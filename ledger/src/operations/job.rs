//! Work that goes on behind requests. A job that was begun is resumed by whichever process finds it.

use shared::api::Page;
use sqlx::PgConnection;
use tracing::{error, info};
use uuid::Uuid;

use crate::error::{Attempt, Error, OperationError, Result, refusal};
use crate::operations::ledger::Ledger;
use crate::records::job::{JobSummary, Task};
use crate::records::page::{self, UnknownCursor};
use crate::store::{advisory_lock, job};

/// What is kept of a job whose points fit no account: readers of jobs know it by this name.
const DOES_NOT_FIT: &str = "invalid_field";

/// There is no such job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownJob;

refusal!(UnknownJob);

impl Ledger {
    /// Runs one job to its end, or waits until another process has.
    pub(crate) async fn run_job(&self, id: Uuid) -> Result<()> {
        let mut connection = self.pool().acquire().await?.detach();
        advisory_lock::lock_job(&mut connection, id).await?;
        self.run_locked(id, connection).await
    }

    /// Runs all jobs that have not ended, oldest first, but those that another process is at.
    pub(crate) async fn resume_jobs(&self) -> Result<()> {
        for id in job::open(self.pool()).await? {
            let mut connection = self.pool().acquire().await?.detach();
            if advisory_lock::try_lock_job(&mut connection, id).await? {
                self.run_locked(id, connection).await?;
            }
        }
        Ok(())
    }

    /// Runs a job whose lock the connection holds; the lock ends with the connection.
    async fn run_locked(&self, id: Uuid, mut connection: PgConnection) -> Result<()> {
        let Some(task) = job::open_task(&mut connection, id).await? else {
            return Ok(());
        };
        let outcome = match &task {
            Task::Release { model_name } => {
                let released = self.release_waiting(id, model_name).await;
                released.map_err(OperationError::Failed)
            }
            Task::Rerate(rerating) => self.apply_rerating(id, rerating).await,
        };
        let fault = match outcome {
            Ok(()) => None,
            // Postgres or the queue was away for a moment: the job stays open.
            Err(OperationError::Failed(error)) if error.is_passing() => return Err(error),
            Err(OperationError::Failed(Error::Overflow(_))) => Some(DOES_NOT_FIT.to_owned()),
            Err(error) => Some(error.to_string()),
        };
        job::finish(&mut connection, id, fault.as_deref()).await?;
        match fault {
            None => info!(job = %id, kind = task.kind(), "job finished"),
            Some(error) => error!(job = %id, kind = task.kind(), error, "job failed"),
        }
        Ok(())
    }

    pub(crate) async fn job_progress(&self, id: Uuid, done: u64, total: u64) -> Result<()> {
        let count = |value| i64::try_from(value).unwrap_or(i64::MAX);
        job::set_progress(self.pool(), id, count(done), count(total)).await
    }

    /// The newest jobs.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn jobs(&self, limit: u32) -> Result<Vec<JobSummary>> {
        Ok(self.jobs_before(Uuid::max(), limit).await?.items)
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// [`UnknownCursor`].
    pub async fn jobs_page(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Attempt<Page<JobSummary>, UnknownCursor> {
        let before = page::cursor::<Uuid>(cursor)?.unwrap_or(Uuid::max());
        Ok(self.jobs_before(before, limit).await?)
    }

    async fn jobs_before(&self, before: Uuid, limit: u32) -> Result<Page<JobSummary>> {
        let rows = job::before(self.pool(), before, i64::from(limit) + 1).await?;
        page::build(rows, limit, |row| {
            let job = JobSummary::from(row);
            Ok((job.id.to_string(), job))
        })
    }

    /// One job.
    ///
    /// # Errors
    /// [`UnknownJob`].
    pub async fn job(&self, id: Uuid) -> Attempt<JobSummary, UnknownJob> {
        let row = job::find(self.pool(), id).await?;
        Ok(row.ok_or(UnknownJob)?.into())
    }
}
