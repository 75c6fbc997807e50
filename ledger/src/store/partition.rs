//! The months that a table is kept in: those ahead are made, those of a log are dropped some day.

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use crate::error::{Error, Result};

/// What was not charged. Nothing that is owed depends on it, so it need not be kept for ever.
pub(crate) const DELIVERY_LOG: &str = "delivery";

/// A month that is no part of its log any longer.
pub(crate) struct DetachedMonth {
    pub table: String,
    /// Its first day, such as `2026-01-01`.
    pub month: String,
}

/// What was in it.
pub(crate) struct MonthContent {
    pub rows: i64,
    pub sha256: [u8; 32],
}

/// Until the end of the transaction, gives up where a lock is not to be had soon: whoever waits for a
/// table's own lock keeps everybody waiting who uses it.
pub(crate) async fn wait_briefly(tx: &mut PgConnection) -> Result<()> {
    sqlx::query!("set local lock_timeout = '100ms'")
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether it was given up because somebody else uses the table.
pub(crate) fn is_in_use(error: &Error) -> bool {
    let Error::Database(sqlx::Error::Database(error)) = error else {
        return false;
    };
    error.code().as_deref() == Some("55P03")
}

/// Creates the partitions of the months ahead that are not there yet.
pub(crate) async fn ensure(tx: &mut PgConnection, table: &str, months_ahead: i32) -> Result<()> {
    sqlx::query!("select ensure_partitions($1, $2)", table, months_ahead)
        .execute(tx)
        .await?;
    Ok(())
}

/// Detaches the oldest month of a log of which all rows are older than so many months; `false` when there
/// is none.
pub(crate) async fn detach(
    executor: impl PgExecutor<'_>,
    log: &str,
    retention_months: u16,
) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select detach_month($1, $2) is not null as "is_detached!""#,
        log,
        i32::from(retention_months)
    )
    .fetch_one(executor)
    .await?)
}

/// The months of a log that are detached and not dropped yet.
pub(crate) async fn detached(
    executor: impl PgExecutor<'_>,
    log: &str,
) -> Result<Vec<DetachedMonth>> {
    Ok(sqlx::query_as!(
        DetachedMonth,
        r#"select relname::text as "table!",
                to_char(to_date(substring(relname from pattern), 'YYYY_MM'), 'YYYY-MM-DD') as "month!"
         from pg_class, format('^%s_(\d{4}_\d{2})_detached$', $1::text) as pattern
         where relkind = 'r' and relnamespace = current_schema()::regnamespace
             and relname ~ pattern
         order by relname"#,
        log
    )
    .fetch_all(executor)
    .await?)
}

/// Reads a detached month through: its rows as text, in order.
pub(crate) async fn content(tx: &mut PgConnection, month: &DetachedMonth) -> Result<MonthContent> {
    let copy = format!(
        "copy (select * from {} order by tx, id) to stdout",
        month.table
    );
    let mut hash = Sha256::new();
    let mut rows = 0;
    let mut stream = tx.copy_out_raw(&copy).await?;
    while let Some(chunk) = stream.try_next().await? {
        hash.update(&chunk);
        // One ends each row; those inside are escaped.
        rows += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(MonthContent {
        rows: i64::try_from(rows).map_err(|_| Error::corrupt("more rows than there can be"))?,
        sha256: hash.finalize().into(),
    })
}

/// Drops a detached month and notes what was in it.
pub(crate) async fn drop_detached(
    tx: &mut PgConnection,
    log: &str,
    month: &DetachedMonth,
    content: &MonthContent,
) -> Result<()> {
    // An empty one leaves nothing to be noted.
    sqlx::query(
        "insert into dropped_log (log, month, rows, sha256)
         select $1, $2::date, $3, $4 where $3 > 0",
    )
    .bind(log)
    .bind(&month.month)
    .bind(content.rows)
    .bind(content.sha256.as_slice())
    .execute(&mut *tx)
    .await?;
    let drop = format!("drop table {}", month.table);
    sqlx::query(AssertSqlSafe(drop)).execute(tx).await?;
    Ok(())
}

/// How many rows of a log are no longer there.
pub(crate) async fn rows_dropped(executor: impl PgExecutor<'_>, log: &str) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(sum(rows), 0)::bigint as "rows!" from dropped_log where log = $1"#,
        log
    )
    .fetch_one(executor)
    .await?)
}
