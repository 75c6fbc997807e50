//! Who is signed in. A session is a random token with an owner and an end; an administrator's comes
//! from a password, an end user's from the operator, who vouches for the user.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::problem::{FieldFault, Problem};
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

use crate::Ledger;
use crate::audit::{self, Actor};
use crate::chain::Hash;
use crate::error::{Error, Result};
use crate::sealing::random_bytes;

/// Longest life of a user token, in seconds: a day.
const USER_SECONDS_MAX: u32 = 24 * 60 * 60;

/// A token in clear, for the only time.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub token: String,
    pub expires_at: Timestamp,
}

/// Whoever presents a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    Administrator { name: String },
    User(UserId),
}

pub(crate) enum Owner<'a> {
    Administrator(i64),
    User(&'a UserId),
}

fn hash_of(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

pub(crate) async fn open(
    tx: &mut PgConnection,
    owner: Owner<'_>,
    seconds: u32,
) -> Result<NewSession> {
    let token = URL_SAFE_NO_PAD.encode(random_bytes::<32>()?);
    let (administrator_id, user_id) = match owner {
        Owner::Administrator(id) => (Some(id), None),
        Owner::User(user) => (None, Some(user.as_str())),
    };
    let expires_at: OffsetDateTime = sqlx::query_scalar(
        "insert into session (token_hash, administrator_id, user_id, expires_at)
         values ($1, $2, $3, now() + make_interval(secs => $4)) returning expires_at",
    )
    .bind(hash_of(&token).as_slice())
    .bind(administrator_id)
    .bind(user_id)
    .bind(f64::from(seconds))
    .fetch_one(tx)
    .await?;
    Ok(NewSession {
        token,
        expires_at: expires_at.into(),
    })
}

impl Ledger {
    /// Mints a short-lived token with which a user sees their own points.
    ///
    /// # Errors
    /// A field problem for `minutes` when the life is not between a second and a day.
    pub async fn create_user_session(
        &self,
        user: &UserId,
        seconds: u32,
        actor: &Actor,
    ) -> Result<NewSession> {
        if !(1..=USER_SECONDS_MAX).contains(&seconds) {
            return Err(Problem::field(
                "minutes",
                FieldFault::OutOfRange {
                    min: 1,
                    max: USER_SECONDS_MAX / 60,
                },
            )
            .into());
        }
        let mut tx = self.pool().begin().await?;
        let session = open(&mut tx, Owner::User(user), seconds).await?;
        audit::record(
            &mut tx,
            actor,
            "user_token.create",
            user.as_str(),
            audit::NOTHING,
            Some(&session.expires_at),
        )
        .await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Who presents this token; `None` when it is unknown or over.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn visitor(&self, token: &str) -> Result<Option<Visitor>> {
        let row = sqlx::query(
            "select a.name, s.user_id from session s
             left join administrator a using (administrator_id)
             where s.token_hash = $1 and s.expires_at > now()",
        )
        .bind(hash_of(token).as_slice())
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        if let Some(name) = row.try_get("name")? {
            return Ok(Some(Visitor::Administrator { name }));
        }
        let user: String = row.try_get("user_id")?;
        user.parse()
            .map(|user| Some(Visitor::User(user)))
            .map_err(|_| Error::corrupt("a session's user id"))
    }

    /// Ends a session; an unknown token is no error.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sign_out(&self, token: &str) -> Result<()> {
        sqlx::query("delete from session where token_hash = $1")
            .bind(hash_of(token).as_slice())
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
