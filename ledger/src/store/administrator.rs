use sqlx::PgExecutor;

use crate::error::Result;

/// What a sign-in is checked against.
pub(crate) struct CredentialsRow {
    pub administrator_id: i64,
    pub password_hash: String,
}

/// False when the name is taken.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    name: &str,
    password_hash: &str,
) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into administrator (name, password_hash) values ($1, $2) on conflict do nothing",
        name,
        password_hash
    )
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn count(executor: impl PgExecutor<'_>) -> Result<i64> {
    Ok(
        sqlx::query_scalar!(r#"select count(*) as "count!" from administrator"#)
            .fetch_one(executor)
            .await?,
    )
}

pub(crate) async fn credentials(
    executor: impl PgExecutor<'_>,
    name: &str,
) -> Result<Option<CredentialsRow>> {
    Ok(sqlx::query_as!(
        CredentialsRow,
        "select administrator_id, password_hash from administrator where name = $1",
        name
    )
    .fetch_optional(executor)
    .await?)
}
