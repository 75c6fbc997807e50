use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::actor::Actor;
use crate::records::job::{JobSummary, Task};

#[derive(sqlx::FromRow)]
pub(crate) struct JobRow {
    job_id: Uuid,
    kind: String,
    parameters: Json<Task>,
    total: i64,
    done: i64,
    created_at: OffsetDateTime,
    created_by: String,
    finished_at: Option<OffsetDateTime>,
    error: Option<String>,
}

impl From<JobRow> for JobSummary {
    fn from(row: JobRow) -> Self {
        let Json(task) = row.parameters;
        Self {
            id: row.job_id,
            kind: row.kind,
            about: task.about(),
            total: row.total,
            done: row.done,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            finished_at: row.finished_at.map(Into::into),
            error: row.error,
        }
    }
}

/// Enters a job in the transaction of whatever causes it.
pub(crate) async fn insert(tx: &mut PgConnection, task: &Task, actor: &Actor) -> Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into job (job_id, kind, parameters, created_by) values ($1, $2, $3, $4)",
        id,
        task.kind(),
        Json(task) as _,
        actor.name
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// The jobs that have not ended, oldest first.
pub(crate) async fn open(executor: impl PgExecutor<'_>) -> Result<Vec<Uuid>> {
    Ok(
        sqlx::query_scalar!("select job_id from job where finished_at is null order by created_at")
            .fetch_all(executor)
            .await?,
    )
}

/// What is to be done for a job that has not ended.
pub(crate) async fn open_task(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Task>> {
    let task: Option<Json<Task>> =
        sqlx::query_scalar("select parameters from job where job_id = $1 and finished_at is null")
            .bind(id)
            .fetch_optional(executor)
            .await?;
    Ok(task.map(|Json(task)| task))
}

pub(crate) async fn set_progress(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    done: i64,
    total: i64,
) -> Result<()> {
    sqlx::query!(
        "update job set done = $2, total = $3 where job_id = $1",
        id,
        done,
        total
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub(crate) async fn finish(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    error: Option<&str>,
) -> Result<()> {
    sqlx::query!(
        "update job set finished_at = now(), error = $2 where job_id = $1",
        id,
        error
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The newest jobs before one, `rows_max` at most.
pub(crate) async fn before(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    rows_max: i64,
) -> Result<Vec<JobRow>> {
    Ok(
        sqlx::query_as("select * from job where job_id < $1 order by job_id desc limit $2")
            .bind(id)
            .bind(rows_max)
            .fetch_all(executor)
            .await?,
    )
}

pub(crate) async fn find(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<JobRow>> {
    Ok(sqlx::query_as("select * from job where job_id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await?)
}
