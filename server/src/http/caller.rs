//! Who is asking. On `/api/user/*`: a service key, an administrator, or a user for themselves; on
//! `/api/admin/*`: a key of scope `admin`, or an administrator.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use ledger::{Actor, ApiKey, Scope, Visitor};
use shared::ids::UserId;
use shared::problem::{FieldFault, Problem};

use super::answer::Refusal;
use super::{Http, key};

/// What a request proves itself with.
enum Credential {
    Key(Arc<ApiKey>),
    /// The signed session cookie, or a user token.
    Session(Visitor),
}

impl Credential {
    async fn of(http: &Http, headers: &HeaderMap) -> Result<Self, Refusal> {
        let presented = key::presented(headers);
        if let Some(presented) = presented
            && let Some(key) = http.ledger().authenticate_key(presented).await?
        {
            return Ok(Self::Key(key));
        }
        match app::auth::visitor_from(&http.0.context, headers).await? {
            Some(visitor) => Ok(Self::Session(visitor)),
            None if presented.is_some() => Err(Problem::InvalidKey.into()),
            None if headers.contains_key(COOKIE) => Err(Problem::SignInRequired.into()),
            None => Err(Problem::MissingKey.into()),
        }
    }
}

/// Somebody who may do everything, as the audit names them.
pub struct Administrator(pub Actor);

impl Administrator {
    /// The name of the key or of the administrator.
    ///
    /// # Errors
    /// A problem with status 401 or 403 for everybody else.
    pub async fn name(http: &Http, headers: &HeaderMap) -> Result<String, Refusal> {
        match Credential::of(http, headers).await? {
            Credential::Key(key) => {
                key::check_scope(&key, Scope::Admin)?;
                Ok(key.name.clone())
            }
            Credential::Session(Visitor::Administrator { name }) => Ok(name),
            Credential::Session(Visitor::User(_)) => Err(Problem::WrongScope {
                needed: Scope::Admin.as_str().to_owned(),
            }
            .into()),
        }
    }
}

impl FromRequestParts<Http> for Administrator {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, Refusal> {
        let name = Self::name(http, &parts.headers).await?;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let origin = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.0.ip().to_string());
        Ok(Self(Actor { name, origin }))
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
    /// # Errors
    /// A problem with status 401 or 403 when nobody of the kind is asking.
    pub async fn of(http: &Http, headers: &HeaderMap) -> Result<Self, Refusal> {
        match Credential::of(http, headers).await? {
            Credential::Key(key) => {
                key::check_scope(&key, Scope::Points)?;
                Ok(Self::Operator {
                    name: key.name.clone(),
                    key: Some(key),
                })
            }
            Credential::Session(Visitor::Administrator { name }) => {
                Ok(Self::Operator { name, key: None })
            }
            Credential::Session(Visitor::User(user)) => Ok(Self::User(user)),
        }
    }

    /// Whose idempotency keys these are. No operator's name begins like a user's.
    pub fn name(&self) -> String {
        match self {
            Self::Operator { name, .. } => name.clone(),
            Self::User(user) => format!("user\n{user}"),
        }
    }

    /// Whom the request is about, given the `userId` it names.
    ///
    /// # Errors
    /// `OtherUser` when a user names somebody else; a missing field when an operator names nobody.
    pub fn subject(&self, named: Option<UserId>) -> Result<UserId, Problem> {
        self.optional_subject(named)?
            .ok_or_else(|| Problem::field("userId", FieldFault::Missing))
    }

    /// As [`Caller::subject`], where an operator need not name anybody.
    ///
    /// # Errors
    /// `OtherUser` when a user names somebody else.
    pub fn optional_subject(&self, named: Option<UserId>) -> Result<Option<UserId>, Problem> {
        match self {
            Self::Operator { .. } => Ok(named),
            Self::User(user) if named.as_ref().is_none_or(|named| named == user) => {
                Ok(Some(user.clone()))
            }
            Self::User(_) => Err(Problem::OtherUser),
        }
    }

    /// The service key, for what only an operator's back end may say.
    ///
    /// # Errors
    /// `WrongScope` for everybody else.
    pub fn key(&self) -> Result<&Arc<ApiKey>, Problem> {
        match self {
            Self::Operator { key: Some(key), .. } => Ok(key),
            _ => Err(Problem::WrongScope {
                needed: Scope::Points.as_str().to_owned(),
            }),
        }
    }

    /// The operator, as the audit names them.
    ///
    /// # Errors
    /// `WrongScope` for a user.
    pub fn operator(self, origin: String) -> Result<Actor, Problem> {
        match self {
            Self::Operator { name, .. } => Ok(Actor { name, origin }),
            Self::User(_) => Err(Problem::WrongScope {
                needed: Scope::Points.as_str().to_owned(),
            }),
        }
    }
}
