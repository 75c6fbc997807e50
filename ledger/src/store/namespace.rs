//! Dify installations, whose messages have ids of their own.

use sqlx::PgConnection;

use crate::error::Result;

/// The namespace of everything that names no other.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

pub(crate) async fn ensure(tx: &mut PgConnection, name: &str) -> Result<()> {
    sqlx::query!(
        "insert into namespace (name) values ($1) on conflict do nothing",
        name
    )
    .execute(tx)
    .await?;
    Ok(())
}
