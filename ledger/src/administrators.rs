//! Administrators: their passwords, and the brake on guessing them.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use shared::ids::checked_id;
use shared::problem::{FieldFault, Problem};
use sqlx::Row;

use crate::Ledger;
use crate::audit::{self, Actor};
use crate::error::{Error, Result};
use crate::sessions::{NewSession, Owner};

const PASSWORD_CHARS_MIN: u16 = 12;
const PASSWORD_CHARS_MAX: u16 = 1000;
/// An administrator's session, in seconds: a working day.
const SESSION_SECONDS: u32 = 12 * 60 * 60;

/// Failed sign-ins allowed in a window, for one name from one origin, and for one origin at all.
const FAILURES_PER_NAME_MAX: i32 = 10;
const FAILURES_PER_ORIGIN_MAX: i32 = 30;
const WINDOW_SECONDS: u32 = 15 * 60;

/// Verified where the name is unknown, so that both refusals take as long. Its password is unknown
/// to everybody: the hash part is random.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Argon2 takes tens of milliseconds on purpose; it must not hold up the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, argon2::password_hash::Error> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Stopped)?
        .map_err(|error| Error::PasswordHash(error.to_string()))
}

async fn hash(password: String) -> Result<String> {
    blocking(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
    })
    .await
}

async fn verify(password: String, hash: String) -> Result<bool> {
    blocking(move || {
        let hash = PasswordHash::new(&hash)?;
        Ok(Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok())
    })
    .await
}

fn checked_password(password: &str) -> Result<()> {
    let length = password.chars().count();
    let fault = if length < usize::from(PASSWORD_CHARS_MIN) {
        FieldFault::TooShort {
            min: PASSWORD_CHARS_MIN,
        }
    } else if length > usize::from(PASSWORD_CHARS_MAX) {
        FieldFault::TooLong {
            max: PASSWORD_CHARS_MAX,
        }
    } else {
        return Ok(());
    };
    Err(Problem::field("password", fault).into())
}

impl Ledger {
    /// # Errors
    /// Field problems for `name` (also when taken) and `password` (shorter than 12 characters).
    pub async fn create_administrator(
        &self,
        name: &str,
        password: &str,
        actor: &Actor,
    ) -> Result<()> {
        let name = checked_id(name).map_err(|fault| Problem::field("name", fault))?;
        checked_password(password)?;
        let password_hash = hash(password.to_owned()).await?;
        let mut tx = self.pool().begin().await?;
        let created = sqlx::query(
            "insert into administrator (name, password_hash) values ($1, $2) on conflict do nothing",
        )
        .bind(name)
        .bind(password_hash)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if created == 0 {
            return Err(Problem::field("name", FieldFault::Taken).into());
        }
        audit::record(
            &mut tx,
            actor,
            "administrator.create",
            name,
            audit::NOTHING,
            audit::NOTHING,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// # Errors
    /// [`Error::Database`].
    pub async fn administrator_count(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("select count(*) from administrator")
            .fetch_one(self.pool())
            .await?)
    }

    /// Opens a session for the right password. `origin` is the caller's address.
    ///
    /// # Errors
    /// `WrongPassword`, the same for an unknown name; `RateLimited` after too many of them.
    pub async fn sign_in(&self, name: &str, password: &str, origin: &str) -> Result<NewSession> {
        let buckets = [
            (
                format!("name {} {origin}", name.trim()),
                FAILURES_PER_NAME_MAX,
            ),
            (format!("origin {origin}"), FAILURES_PER_ORIGIN_MAX),
        ];
        for (bucket, failures_max) in &buckets {
            self.refuse_guessing(bucket, *failures_max).await?;
        }
        if password.chars().count() > usize::from(PASSWORD_CHARS_MAX) {
            return Err(Problem::WrongPassword.into());
        }
        let row = sqlx::query(
            "select administrator_id, password_hash from administrator where name = $1",
        )
        .bind(name.trim())
        .fetch_optional(self.pool())
        .await?;
        let (administrator_id, password_hash) = match &row {
            Some(row) => (
                Some(row.try_get::<i64, _>("administrator_id")?),
                row.try_get("password_hash")?,
            ),
            None => (None, NOBODY.to_owned()),
        };
        let is_right = verify(password.to_owned(), password_hash).await?;
        let actor = Actor {
            name: name.trim().to_owned(),
            origin: origin.to_owned(),
        };
        let mut tx = self.pool().begin().await?;
        let Some(administrator_id) = administrator_id.filter(|_| is_right) else {
            for (bucket, _) in &buckets {
                count_failure(&mut tx, bucket).await?;
            }
            tx.commit().await?;
            return Err(Problem::WrongPassword.into());
        };
        let [(own_bucket, _), _] = &buckets;
        sqlx::query("delete from sign_in_failure where bucket = $1")
            .bind(own_bucket)
            .execute(&mut *tx)
            .await?;
        let session = crate::sessions::open(
            &mut tx,
            Owner::Administrator(administrator_id),
            SESSION_SECONDS,
        )
        .await?;
        audit::record(
            &mut tx,
            &actor,
            "administrator.sign_in",
            &actor.name,
            audit::NOTHING,
            audit::NOTHING,
        )
        .await?;
        tx.commit().await?;
        Ok(session)
    }

    async fn refuse_guessing(&self, bucket: &str, failures_max: i32) -> Result<()> {
        let wait_seconds: Option<i32> = sqlx::query_scalar(
            "select ceil(extract(epoch from window_start + make_interval(secs => $2) - now()))::integer
             from sign_in_failure
             where bucket = $1 and failures >= $3 and window_start > now() - make_interval(secs => $2)",
        )
        .bind(bucket)
        .bind(f64::from(WINDOW_SECONDS))
        .bind(failures_max)
        .fetch_optional(self.pool())
        .await?;
        match wait_seconds {
            None => Ok(()),
            Some(seconds) => Err(Problem::RateLimited {
                retry_after_seconds: u32::try_from(seconds).unwrap_or(1).max(1),
            }
            .into()),
        }
    }
}

async fn count_failure(tx: &mut sqlx::PgConnection, bucket: &str) -> Result<()> {
    sqlx::query(
        "insert into sign_in_failure as f (bucket, window_start, failures) values ($1, now(), 1)
         on conflict (bucket) do update set
             failures = case when f.window_start > now() - make_interval(secs => $2)
                 then f.failures + 1 else 1 end,
             window_start = case when f.window_start > now() - make_interval(secs => $2)
                 then f.window_start else now() end",
    )
    .bind(bucket)
    .bind(f64::from(WINDOW_SECONDS))
    .execute(tx)
    .await?;
    Ok(())
}
