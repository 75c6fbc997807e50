//! Who is signed in. A session is a random token with an owner and an end; an administrator's comes
//! from a password, an end user's from the operator, who vouches for the user.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::ids::UserId;
use sqlx::PgConnection;

use crate::error::{Attempt, Error, Result, refusal};
use crate::operations::ledger::Ledger;
use crate::records::actor::Actor;
use crate::records::digest::digest;
use crate::records::sealing::random_bytes;
use crate::records::session::{NewSession, Owner, Visitor};
use crate::store::{audit_log, session};

/// Longest life of a user token, in seconds: a day.
const USER_SECONDS_MAX: u32 = 24 * 60 * 60;

/// A token's life is between a second and so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeOutOfRange {
    pub seconds_max: u32,
}

refusal!(LifeOutOfRange);

pub(crate) async fn open(
    tx: &mut PgConnection,
    owner: &Owner<'_>,
    seconds: u32,
) -> Result<NewSession> {
    let token = URL_SAFE_NO_PAD.encode(random_bytes::<32>()?);
    let expires_at = session::insert(tx, &digest(&token), owner, seconds).await?;
    Ok(NewSession {
        token,
        expires_at: expires_at.into(),
    })
}

impl Ledger {
    /// Mints a short-lived token with which a user sees their own points.
    ///
    /// # Errors
    /// The life is not between a second and a day.
    pub async fn create_user_session(
        &self,
        user: &UserId,
        seconds: u32,
        actor: &Actor,
    ) -> Attempt<NewSession, LifeOutOfRange> {
        if !(1..=USER_SECONDS_MAX).contains(&seconds) {
            let seconds_max = USER_SECONDS_MAX;
            return Err(LifeOutOfRange { seconds_max }.into());
        }
        let mut tx = self.pool().begin().await?;
        let session = open(&mut tx, &Owner::User(user), seconds).await?;
        let (before, after) = (audit_log::NOTHING, Some(&session.expires_at));
        let action = "user_token.create";
        audit_log::record(&mut tx, actor, action, user.as_str(), before, after).await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Who presents this token; `None` when it is unknown or over.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn visitor(&self, token: &str) -> Result<Option<Visitor>> {
        let Some(owner) = session::owner(self.pool(), &digest(token)).await? else {
            return Ok(None);
        };
        if let Some(name) = owner.administrator_name {
            return Ok(Some(Visitor::Administrator { name }));
        }
        let user = owner.user_id.and_then(|user| user.parse().ok());
        match user {
            Some(user) => Ok(Some(Visitor::User(user))),
            None => Err(Error::corrupt("a session's user id")),
        }
    }

    /// Ends a session; an unknown token is no error.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sign_out(&self, token: &str) -> Result<()> {
        session::delete(self.pool(), &digest(token)).await
    }
}
