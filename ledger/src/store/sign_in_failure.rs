//! Failed sign-ins, counted for each bucket within a window.

use sqlx::PgExecutor;

use crate::error::Result;

/// The length of a window, in seconds.
const WINDOW_SECONDS: f64 = 15.0 * 60.0;

/// Seconds until a bucket's window ends in which so many sign-ins have failed.
pub(crate) async fn seconds_to_wait(
    executor: impl PgExecutor<'_>,
    bucket: &str,
    failures_max: i32,
) -> Result<Option<i32>> {
    Ok(sqlx::query_scalar(
        "select ceil(extract(epoch from window_start + make_interval(secs => $2) - now()))::integer
         from sign_in_failure
         where bucket = $1 and failures >= $3 and window_start > now() - make_interval(secs => $2)",
    )
    .bind(bucket)
    .bind(WINDOW_SECONDS)
    .bind(failures_max)
    .fetch_optional(executor)
    .await?)
}

/// Counts one more, in a new window when the last one is over.
pub(crate) async fn count(executor: impl PgExecutor<'_>, bucket: &str) -> Result<()> {
    sqlx::query!(
        "insert into sign_in_failure as f (bucket, window_start, failures) values ($1, now(), 1)
         on conflict (bucket) do update set
             failures = case when f.window_start > now() - make_interval(secs => $2)
                 then f.failures + 1 else 1 end,
             window_start = case when f.window_start > now() - make_interval(secs => $2)
                 then f.window_start else now() end",
        bucket,
        WINDOW_SECONDS
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub(crate) async fn delete(executor: impl PgExecutor<'_>, bucket: &str) -> Result<()> {
    sqlx::query!("delete from sign_in_failure where bucket = $1", bucket)
        .execute(executor)
        .await?;
    Ok(())
}

/// Removes those that no window counts any longer.
pub(crate) async fn delete_old(executor: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!("delete from sign_in_failure where window_start < now() - interval '1 day'")
        .execute(executor)
        .await?;
    Ok(())
}
