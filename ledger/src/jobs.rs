//! Work that goes on behind requests. Recurring work runs in one process at a time; a job that was
//! begun is resumed by whichever process finds it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::api::Page;
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::problem::Problem;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use tracing::{error, info};
use uuid::Uuid;

use crate::audit::Actor;
use crate::error::Result;
use crate::rerate::Rerating;
use crate::{Ledger, page};

/// Session-level advisory lock of the process that does the recurring work.
const LEADER_LOCK: i64 = 0x746f_6c6c_0003;
/// First half of the lock of a running job; the second is taken from its id.
const JOB_LOCK: i32 = 0x746f_6c6c;
const TICK: Duration = Duration::from_secs(1);
const TICKS_BETWEEN_MAINTENANCE: u32 = 60 * 60;

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Task {
    /// Charge what waits for a price of this model.
    Release { model_name: ModelName },
    /// Price a time range again and enter the differences.
    Rerate(Rerating),
}

impl Task {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Release { .. } => "release",
            Self::Rerate(_) => "rerate",
        }
    }
}

/// A job as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    pub id: Uuid,
    pub kind: String,
    /// The model whose messages wait no longer, or the reason for pricing again.
    pub about: String,
    /// Messages to look at, as far as known when it began.
    pub total: i64,
    pub done: i64,
    pub created_at: Timestamp,
    pub created_by: String,
    pub finished_at: Option<Timestamp>,
    pub error: Option<String>,
}

/// Enters a job in the transaction of whatever causes it.
pub(crate) async fn enqueue(tx: &mut PgConnection, task: &Task, actor: &Actor) -> Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query("insert into job (job_id, kind, parameters, created_by) values ($1, $2, $3, $4)")
        .bind(id)
        .bind(task.kind())
        .bind(Json(task))
        .bind(&actor.name)
        .execute(tx)
        .await?;
    Ok(id)
}

/// Second half of the lock of a running job.
fn lock_of(id: Uuid) -> i32 {
    let [a, b, c, d, ..] = id.into_bytes();
    let [.., e, f, g, h] = id.into_bytes();
    i32::from_be_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}

fn summary(row: &PgRow) -> Result<JobSummary> {
    let Json(task): Json<Task> = row.try_get("parameters")?;
    Ok(JobSummary {
        id: row.try_get("job_id")?,
        kind: row.try_get("kind")?,
        about: match task {
            Task::Release { model_name } => model_name.into(),
            Task::Rerate(rerating) => rerating.reason,
        },
        total: row.try_get("total")?,
        done: row.try_get("done")?,
        created_at: row.try_get::<OffsetDateTime, _>("created_at")?.into(),
        created_by: row.try_get("created_by")?,
        finished_at: row
            .try_get::<Option<OffsetDateTime>, _>("finished_at")?
            .map(Timestamp::from),
        error: row.try_get("error")?,
    })
}

impl Ledger {
    /// Does the recurring work of the ledger for as long as it is polled: expires holds and
    /// credits, resumes jobs, delivers traces, looks after partitions. Any number of processes may run it; one at a
    /// time acts.
    pub async fn run_jobs(&self) {
        loop {
            if let Err(error) = self.lead().await {
                error!(%error, "recurring work was interrupted");
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits for the lead, then works until something fails. The lock lives as long as its
    /// connection, so a process that dies gives it up.
    async fn lead(&self) -> Result<()> {
        let mut connection = self.pool().acquire().await?.detach();
        let leads: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(LEADER_LOCK)
            .fetch_one(&mut connection)
            .await?;
        if !leads {
            return Ok(());
        }
        // Side by side: a job may take minutes, and what is to expire must not wait for it.
        tokio::try_join!(
            self.look_after(&mut connection),
            self.resume(),
            self.deliver_traces(),
        )
        .map(drop)
    }

    /// Works for as long as the connection that holds the lead lasts.
    async fn look_after(&self, leading: &mut PgConnection) -> Result<()> {
        let mut ticks = 0_u32;
        loop {
            // Fails when the connection, and the lock with it, is gone.
            sqlx::query("select 1").execute(&mut *leading).await?;
            self.expire_holds().await?;
            self.expire_credits().await?;
            if ticks.is_multiple_of(TICKS_BETWEEN_MAINTENANCE) {
                self.maintain().await?;
            }
            ticks = ticks.wrapping_add(1);
            tokio::time::sleep(TICK).await;
        }
    }

    async fn resume(&self) -> Result<()> {
        loop {
            self.resume_jobs().await?;
            tokio::time::sleep(TICK).await;
        }
    }

    async fn resume_jobs(&self) -> Result<()> {
        let open: Vec<Uuid> = sqlx::query_scalar(
            "select job_id from job where finished_at is null order by created_at",
        )
        .fetch_all(self.pool())
        .await?;
        for id in open {
            self.resume_job(id).await?;
        }
        Ok(())
    }

    /// Runs one job to its end, or waits until another process has.
    pub(crate) async fn run_job(&self, id: Uuid) -> Result<()> {
        let mut connection = self.pool().acquire().await?.detach();
        sqlx::query("select pg_advisory_lock($1, $2)")
            .bind(JOB_LOCK)
            .bind(lock_of(id))
            .execute(&mut connection)
            .await?;
        self.run_locked(id, connection).await
    }

    /// Runs one job to its end, unless another process is at it.
    async fn resume_job(&self, id: Uuid) -> Result<()> {
        let mut connection = self.pool().acquire().await?.detach();
        let is_ours: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
            .bind(JOB_LOCK)
            .bind(lock_of(id))
            .fetch_one(&mut connection)
            .await?;
        match is_ours {
            true => self.run_locked(id, connection).await,
            false => Ok(()),
        }
    }

    /// Runs a job whose lock the connection holds; the lock ends with the connection.
    async fn run_locked(&self, id: Uuid, mut connection: PgConnection) -> Result<()> {
        let task: Option<Json<Task>> = sqlx::query_scalar(
            "select parameters from job where job_id = $1 and finished_at is null",
        )
        .bind(id)
        .fetch_optional(&mut connection)
        .await?;
        let Some(Json(task)) = task else {
            return Ok(());
        };
        let outcome = match &task {
            Task::Release { model_name } => self.release_waiting(id, model_name).await,
            Task::Rerate(rerating) => self.apply_rerating(id, rerating).await,
        };
        let fault = match outcome {
            Ok(()) => None,
            // Postgres or the queue was away for a moment: the job stays open.
            Err(error) if matches!(error.problem(), Problem::Busy { .. }) => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        sqlx::query("update job set finished_at = now(), error = $2 where job_id = $1")
            .bind(id)
            .bind(&fault)
            .execute(&mut connection)
            .await?;
        match fault {
            None => info!(job = %id, kind = task.kind(), "job finished"),
            Some(error) => error!(job = %id, kind = task.kind(), error, "job failed"),
        }
        Ok(())
    }

    pub(crate) async fn job_progress(&self, id: Uuid, done: u64, total: u64) -> Result<()> {
        let count = |value| i64::try_from(value).unwrap_or(i64::MAX);
        sqlx::query("update job set done = $2, total = $3 where job_id = $1")
            .bind(id)
            .bind(count(done))
            .bind(count(total))
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The newest jobs.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn jobs(&self, limit: u32) -> Result<Vec<JobSummary>> {
        Ok(self.jobs_page(None, limit).await?.items)
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `cursor`.
    pub async fn jobs_page(&self, cursor: Option<&str>, limit: u32) -> Result<Page<JobSummary>> {
        let before = page::cursor::<Uuid>(cursor)?.unwrap_or(Uuid::max());
        let rows = sqlx::query("select * from job where job_id < $1 order by job_id desc limit $2")
            .bind(before)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.pool())
            .await?;
        page::build(&rows, limit, |row| {
            let job = summary(row)?;
            Ok((job.id.to_string(), job))
        })
    }

    /// One job.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn job(&self, id: Uuid) -> Result<JobSummary> {
        let row = sqlx::query("select * from job where job_id = $1")
            .bind(id)
            .fetch_optional(self.pool())
            .await?
            .ok_or(Problem::NotFound)?;
        summary(&row)
    }
}
