use sqlx::PgConnection;

use crate::error::Result;

/// Creates the partitions of the months ahead that are not there yet.
pub(crate) async fn ensure(tx: &mut PgConnection, months_ahead: i32) -> Result<()> {
    sqlx::query("select ensure_partitions($1)")
        .bind(months_ahead)
        .execute(tx)
        .await?;
    Ok(())
}
