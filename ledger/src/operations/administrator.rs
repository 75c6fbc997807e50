//! Administrators: their passwords, and the brake on guessing them.

use shared::ids::{IdError, checked_id};

use crate::error::{Attempt, Result, refusal};
use crate::operations::ledger::Ledger;
use crate::operations::password::{self, PasswordFault};
use crate::operations::session;
use crate::records::actor::Actor;
use crate::records::session::{NewSession, Owner};
use crate::store::{administrator, audit_log, sign_in_failure};

/// An administrator's session, in seconds: a working day.
const SESSION_SECONDS: u32 = 12 * 60 * 60;

/// Failed sign-ins allowed in a window, for one name from one origin, and for one origin at all.
const FAILURES_PER_NAME_MAX: i32 = 10;
const FAILURES_PER_ORIGIN_MAX: i32 = 30;

/// Why there is no such new administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdministratorRefusal {
    Name(IdError),
    NameTaken,
    Password(PasswordFault),
}

refusal!(AdministratorRefusal, Password(PasswordFault));

/// Why nobody was signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInRefusal {
    /// The same for a name that nobody has.
    WrongPassword,
    TooManyAttempts {
        seconds_to_wait: u32,
    },
}

refusal!(SignInRefusal);

/// Where failures of a name and an origin are counted.
struct Buckets {
    of_name: String,
    of_origin: String,
}

impl Ledger {
    /// # Errors
    /// The name is taken or none, or the password shorter than 12 characters or longer than 1,000.
    pub async fn create_administrator(
        &self,
        name: &str,
        password: &str,
        actor: &Actor,
    ) -> Attempt<(), AdministratorRefusal> {
        let name = checked_id(name).map_err(AdministratorRefusal::Name)?;
        password::check(password)?;
        let password_hash = password::hash(password.to_owned()).await?;
        let mut tx = self.pool().begin().await?;
        if !administrator::insert(&mut *tx, name, &password_hash).await? {
            return Err(AdministratorRefusal::NameTaken.into());
        }
        let (action, nothing) = ("administrator.create", audit_log::NOTHING);
        audit_log::record(&mut tx, actor, action, name, nothing, nothing).await?;
        tx.commit().await?;
        Ok(())
    }

    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn administrator_count(&self) -> Result<i64> {
        administrator::count(self.pool()).await
    }

    /// Opens a session for the right password. `origin` is the caller's address.
    ///
    /// # Errors
    /// The name or the password is wrong, or was too often lately.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        origin: &str,
    ) -> Attempt<NewSession, SignInRefusal> {
        let actor = Actor {
            name: name.trim().to_owned(),
            origin: origin.to_owned(),
        };
        let buckets = Buckets {
            of_name: format!("name {} {origin}", actor.name),
            of_origin: format!("origin {origin}"),
        };
        self.refuse_guessing(&buckets.of_name, FAILURES_PER_NAME_MAX)
            .await?;
        self.refuse_guessing(&buckets.of_origin, FAILURES_PER_ORIGIN_MAX)
            .await?;
        if password::is_too_long(password) {
            return Err(SignInRefusal::WrongPassword.into());
        }
        let known = administrator::credentials(self.pool(), &actor.name).await?;
        let (administrator_id, password_hash) = match known {
            Some(known) => (Some(known.administrator_id), known.password_hash),
            None => (None, password::NOBODY.to_owned()),
        };
        let is_right = password::is_right(password.to_owned(), password_hash).await?;
        match administrator_id.filter(|_| is_right) {
            Some(administrator_id) => Ok(self
                .open_session(administrator_id, &actor, &buckets.of_name)
                .await?),
            None => self.refuse_password(&buckets).await,
        }
    }

    async fn open_session(
        &self,
        administrator_id: i64,
        actor: &Actor,
        bucket: &str,
    ) -> Result<NewSession> {
        let mut tx = self.pool().begin().await?;
        sign_in_failure::delete(&mut *tx, bucket).await?;
        let owner = Owner::Administrator(administrator_id);
        let session = session::open(&mut tx, &owner, SESSION_SECONDS).await?;
        let (action, nothing) = ("administrator.sign_in", audit_log::NOTHING);
        audit_log::record(&mut tx, actor, action, &actor.name, nothing, nothing).await?;
        tx.commit().await?;
        Ok(session)
    }

    async fn refuse_password(&self, buckets: &Buckets) -> Attempt<NewSession, SignInRefusal> {
        let mut tx = self.pool().begin().await?;
        sign_in_failure::count(&mut *tx, &buckets.of_name).await?;
        sign_in_failure::count(&mut *tx, &buckets.of_origin).await?;
        tx.commit().await?;
        Err(SignInRefusal::WrongPassword.into())
    }

    async fn refuse_guessing(&self, bucket: &str, failures_max: i32) -> Attempt<(), SignInRefusal> {
        match sign_in_failure::seconds_to_wait(self.pool(), bucket, failures_max).await? {
            None => Ok(()),
            Some(seconds) => Err(SignInRefusal::TooManyAttempts {
                seconds_to_wait: u32::try_from(seconds).unwrap_or(1).max(1),
            }
            .into()),
        }
    }
}
