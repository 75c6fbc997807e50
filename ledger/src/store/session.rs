use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::error::Result;
use crate::records::digest::Digest;
use crate::records::session::Owner;

/// Whose session it is: one of both.
pub(crate) struct OwnerRow {
    pub administrator_name: Option<String>,
    pub user_id: Option<String>,
}

/// Returns when the session ends.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    token_hash: &Digest,
    owner: &Owner<'_>,
    seconds: u32,
) -> Result<OffsetDateTime> {
    let (administrator_id, user_id) = match owner {
        Owner::Administrator(id) => (Some(*id), None),
        Owner::User(user) => (None, Some(user.as_str())),
    };
    Ok(sqlx::query_scalar!(
        "insert into session (token_hash, administrator_id, user_id, expires_at)
         values ($1, $2, $3, now() + make_interval(secs => $4)) returning expires_at",
        token_hash.as_slice(),
        administrator_id,
        user_id,
        f64::from(seconds)
    )
    .fetch_one(executor)
    .await?)
}

/// The owner of a session that is not over.
pub(crate) async fn owner(
    executor: impl PgExecutor<'_>,
    token_hash: &Digest,
) -> Result<Option<OwnerRow>> {
    Ok(sqlx::query_as!(
        OwnerRow,
        r#"select a.name as "administrator_name?", s.user_id from session s
         left join administrator a using (administrator_id)
         where s.token_hash = $1 and s.expires_at > now()"#,
        token_hash.as_slice()
    )
    .fetch_optional(executor)
    .await?)
}

pub(crate) async fn delete(executor: impl PgExecutor<'_>, token_hash: &Digest) -> Result<()> {
    sqlx::query!(
        "delete from session where token_hash = $1",
        token_hash.as_slice()
    )
    .execute(executor)
    .await?;
    Ok(())
}

pub(crate) async fn delete_expired(executor: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!("delete from session where expires_at < now()")
        .execute(executor)
        .await?;
    Ok(())
}
