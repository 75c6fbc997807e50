//! On `/api/user/*`: a service key, an administrator, or a user for themselves; on `/api/admin/*`: a
//! key of scope `admin`, or an administrator.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use ledger::{Actor, ApiKey, Scope, Visitor};
use shared::ids::UserId;

use crate::credential::presented;
use crate::key::check_scope;
use crate::{Access, Denial};

/// What a request proves itself with.
enum Credential {
    Key(Arc<ApiKey>),
    /// The signed session cookie, or a user token.
    Session(Visitor),
}

impl Access {
    async fn credential(&self, headers: &HeaderMap) -> Result<Credential, Denial> {
        let presented = presented(headers);
        if let Some(presented) = presented
            && let Some(key) = self.ledger.authenticate_key(presented).await?
        {
            return Ok(Credential::Key(key));
        }
        match self.visitor(headers).await? {
            Some(visitor) => Ok(Credential::Session(visitor)),
            None if presented.is_some() => Err(Denial::InvalidKey),
            None if headers.contains_key(COOKIE) => Err(Denial::SignInRequired),
            None => Err(Denial::MissingKey),
        }
    }

    /// The name of the key or of the administrator who may do everything.
    ///
    /// # Errors
    /// [`Denial`] for everybody else.
    pub async fn administrator(&self, headers: &HeaderMap) -> Result<String, Denial> {
        match self.credential(headers).await? {
            Credential::Key(key) => {
                check_scope(&key, Scope::Admin)?;
                Ok(key.name.clone())
            }
            Credential::Session(Visitor::Administrator { name }) => Ok(name),
            Credential::Session(Visitor::User(_)) => Err(Denial::WrongScope(Scope::Admin.as_str())),
        }
    }

    /// Who asks for points.
    ///
    /// # Errors
    /// [`Denial`] when nobody of the kind is asking.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Denial> {
        match self.credential(headers).await? {
            Credential::Key(key) => {
                check_scope(&key, Scope::Points)?;
                Ok(Caller::Operator {
                    name: key.name.clone(),
                    key: Some(key),
                })
            }
            Credential::Session(Visitor::Administrator { name }) => {
                Ok(Caller::Operator { name, key: None })
            }
            Credential::Session(Visitor::User(user)) => Ok(Caller::User(user)),
        }
    }
}

/// Somebody who may ask for points.
#[derive(Debug)]
pub enum Caller {
    /// An operator's back end, with a key, or an administrator: asks for anybody.
    Operator {
        name: String,
        /// Absent for an administrator in a browser.
        key: Option<Arc<ApiKey>>,
    },
    /// A signed-in user or the bearer of a user token: asks for themselves.
    User(UserId),
}

impl Caller {
    /// Whose idempotency keys these are. No operator's name begins like a user's.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Operator { name, .. } => name.clone(),
            Self::User(user) => format!("user\n{user}"),
        }
    }

    /// Whom the request is about, given the `userId` it names.
    ///
    /// # Errors
    /// [`Denial::OtherUser`]; [`Denial::NobodyNamed`] for an operator.
    pub fn subject(&self, named: Option<UserId>) -> Result<UserId, Denial> {
        self.optional_subject(named)?.ok_or(Denial::NobodyNamed)
    }

    /// As [`Caller::subject`], where an operator need not name anybody.
    ///
    /// # Errors
    /// [`Denial::OtherUser`].
    pub fn optional_subject(&self, named: Option<UserId>) -> Result<Option<UserId>, Denial> {
        match self {
            Self::Operator { .. } => Ok(named),
            Self::User(user) if named.as_ref().is_none_or(|named| named == user) => {
                Ok(Some(user.clone()))
            }
            Self::User(_) => Err(Denial::OtherUser),
        }
    }

    /// The service key, for what only an operator's back end may say.
    ///
    /// # Errors
    /// [`Denial::WrongScope`] for everybody else.
    pub fn key(&self) -> Result<&Arc<ApiKey>, Denial> {
        match self {
            Self::Operator { key: Some(key), .. } => Ok(key),
            _ => Err(Denial::WrongScope(Scope::Points.as_str())),
        }
    }

    /// The operator, as the audit names them.
    ///
    /// # Errors
    /// [`Denial::WrongScope`] for a user.
    pub fn operator(self, origin: String) -> Result<Actor, Denial> {
        match self {
            Self::Operator { name, .. } => Ok(Actor { name, origin }),
            Self::User(_) => Err(Denial::WrongScope(Scope::Points.as_str())),
        }
    }
}
