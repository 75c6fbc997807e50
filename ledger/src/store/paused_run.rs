use std::sync::Arc;

use shared::formats::dify_stream::Pause;
use shared::ids::UserId;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::digest::{Digest, digest};
use crate::records::paused_run::{ForgottenRun, PausedRun};
use crate::records::sealing::SealingKey;
use crate::store::api_key::KeyRow;

/// How long a run belongs to whoever took it last; it is renewed more often.
const LEASE_SECONDS: f64 = 60.0;
/// Runs of one user that are followed at once.
const FOLLOWED_PER_USER_MAX: i64 = 4;
/// When a paused run is looked at first, and how rarely it becomes; each time takes twice as long.
const FIRST_LOOK_SECONDS: f64 = 30.0;
const LOOK_SECONDS_MAX: f64 = 3600.0;
/// Dify lets a form wait for seven days at most.
const LIFETIME_DAYS: i32 = 8;

/// A run with its source, whose secrets are sealed.
#[derive(sqlx::FromRow)]
pub(crate) struct PausedRunRow {
    run_id: String,
    message_id: String,
    user_id: String,
    dify_user: Option<String>,
    #[sqlx(flatten)]
    source: KeyRow,
}

impl PausedRunRow {
    pub(crate) fn unseal(self, sealing: &SealingKey) -> Result<PausedRun> {
        Ok(PausedRun {
            source: Arc::new(self.source.unseal(sealing)?),
            run_id: self.run_id,
            message_id: self.message_id,
            user_id: self
                .user_id
                .parse()
                .map_err(|_| Error::corrupt("a user's name"))?,
            dify_user: self.dify_user.unwrap_or(self.user_id),
        })
    }
}

struct ForgottenRow {
    name: String,
    run_id: String,
    user_id: String,
    is_revoked: bool,
}

impl From<ForgottenRow> for ForgottenRun {
    fn from(row: ForgottenRow) -> Self {
        Self {
            source: row.name,
            run_id: row.run_id,
            user_id: row.user_id,
            is_revoked: row.is_revoked,
        }
    }
}

/// Enters a run, or notes that it has paused again.
pub(crate) async fn upsert(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    user: &UserId,
    dify_user: &str,
    pause: &Pause,
) -> Result<()> {
    let forms: Vec<Digest> = pause.form_tokens.iter().map(|it| digest(it)).collect();
    sqlx::query(
        "insert into paused_run as known (api_key_id, run_id, message_id, user_id, dify_user, forms, due_at)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
         on conflict (api_key_id, run_id) do update
             set forms = case when excluded.forms = '{}' then known.forms else excluded.forms end,
                 paused_at = now(), looks = 0, due_at = least(known.due_at, excluded.due_at)",
    )
    .bind(source)
    .bind(&pause.run_id)
    .bind(&pause.message_id)
    .bind(user.as_str())
    .bind(dify_user)
    .bind(forms)
    .bind(FIRST_LOOK_SECONDS)
    .execute(executor)
    .await?;
    Ok(())
}

pub(crate) async fn delete(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    run_id: &str,
) -> Result<()> {
    sqlx::query!(
        "delete from paused_run where api_key_id = $1 and run_id = $2",
        source,
        run_id
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The run that waits for a form.
pub(crate) async fn by_form(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    form_token: &str,
) -> Result<Option<PausedRunRow>> {
    Ok(sqlx::query_as(
        "select p.run_id, p.message_id, p.user_id, p.dify_user, k.*
         from paused_run p join api_key k using (api_key_id)
         where p.api_key_id = $1 and $2 = any(p.forms) limit 1",
    )
    .bind(source)
    .bind(digest(form_token))
    .fetch_optional(executor)
    .await?)
}

/// Takes a run that nobody has, unless its user's share is used up; whether it did.
pub(crate) async fn take(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    run_id: &str,
) -> Result<bool> {
    let taken = sqlx::query!(
        "update paused_run p
         set due_at = 'infinity', looks = 0, followed_until = now() + make_interval(secs => $3)
         where p.api_key_id = $1 and p.run_id = $2
             and (p.followed_until is null or p.followed_until <= now())
             and (select count(*) from paused_run f
                  where f.user_id = p.user_id and f.followed_until > now()) < $4",
        source,
        run_id,
        LEASE_SECONDS,
        FOLLOWED_PER_USER_MAX
    )
    .execute(executor)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Whether nobody has a run; none when it has ended.
pub(crate) async fn is_free(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    run_id: &str,
) -> Result<Option<bool>> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(followed_until <= now(), true) as "is_free!" from paused_run
         where api_key_id = $1 and run_id = $2"#,
        source,
        run_id
    )
    .fetch_optional(executor)
    .await?)
}

/// Takes runs whose time has come, also those whose process has died, `limit` at most, and none of
/// revoked sources.
pub(crate) async fn take_due(
    executor: impl PgExecutor<'_>,
    limit: u32,
) -> Result<Vec<PausedRunRow>> {
    Ok(sqlx::query_as(
        "with due as (
             select p.api_key_id, p.run_id, p.due_at,
                 row_number() over (partition by p.user_id order by p.due_at)
                     + (select count(*) from paused_run f
                        where f.user_id = p.user_id and f.followed_until > now()) as place
             from paused_run p join api_key k using (api_key_id)
             where k.revoked_at is null
                 and (p.followed_until is null and p.due_at <= now() or p.followed_until <= now())
         ), taken as (
             update paused_run p
             set due_at = 'infinity', followed_until = now() + make_interval(secs => $1)
             from (select * from due where place <= $2 order by due_at limit $3) due
             where p.api_key_id = due.api_key_id and p.run_id = due.run_id
                 and (p.followed_until is null or p.followed_until <= now())
             returning p.*
         )
         select taken.run_id, taken.message_id, taken.user_id, taken.dify_user, k.*
         from taken join api_key k using (api_key_id)",
    )
    .bind(LEASE_SECONDS)
    .bind(FOLLOWED_PER_USER_MAX)
    .bind(i64::from(limit))
    .fetch_all(executor)
    .await?)
}

/// Renews the time for which a run is taken; false when it or its source is gone.
pub(crate) async fn renew(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    run_id: &str,
) -> Result<bool> {
    let renewed = sqlx::query!(
        "update paused_run p set followed_until = now() + make_interval(secs => $3)
         from api_key k
         where p.api_key_id = $1 and p.run_id = $2
             and k.api_key_id = p.api_key_id and k.revoked_at is null",
        source,
        run_id,
        LEASE_SECONDS
    )
    .execute(executor)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Gives a run back that has not ended.
pub(crate) async fn give_back(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    run_id: &str,
) -> Result<()> {
    sqlx::query!(
        "update paused_run
         set followed_until = null, looks = looks + 1,
             due_at = least(due_at,
                 now() + make_interval(secs => least($3 * power(2, least(looks, 20)), $4)))
         where api_key_id = $1 and run_id = $2",
        source,
        run_id,
        FIRST_LOOK_SECONDS,
        LOOK_SECONDS_MAX
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Makes a user's runs, or only one of them, due now.
pub(crate) async fn wake(
    executor: impl PgExecutor<'_>,
    source: Uuid,
    user: &UserId,
    run_id: Option<&str>,
) -> Result<()> {
    sqlx::query!(
        "update paused_run set due_at = now(), looks = 0
         where api_key_id = $1 and user_id = $2 and ($3::text is null or run_id = $3)",
        source,
        user.as_str(),
        run_id
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Removes runs that have waited for too long, and those whose source was revoked.
pub(crate) async fn delete_lost(executor: impl PgExecutor<'_>) -> Result<Vec<ForgottenRun>> {
    let rows: Vec<ForgottenRow> = sqlx::query_as!(
        ForgottenRow,
        r#"delete from paused_run p using api_key k
         where k.api_key_id = p.api_key_id
             and (k.revoked_at is not null
                 or p.paused_at < now() - make_interval(days => $1))
         returning k.name, p.run_id, p.user_id, k.revoked_at is not null as "is_revoked!""#,
        LIFETIME_DAYS
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}
