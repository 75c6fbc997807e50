use std::fmt;

use shared::money::Overflow;

pub type Result<T> = std::result::Result<T, Error>;

/// What becomes of an operation that may refuse what it is asked for, for a reason `R`.
pub type Attempt<T, R> = std::result::Result<T, OperationError<R>>;

/// What went wrong inside: nobody's choice, and nothing that a caller could ask for otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("a sealed secret does not open: TOLLGATE_SECRET_KEY is not the one it was sealed with")]
    Sealing,
    #[error("password hashing: {0}")]
    PasswordHash(String),
    #[error("the stored data is not what the ledger writes: {0}")]
    Corrupt(String),
    /// A sum that no account can hold.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// More is asked for at once than the ledger takes; nothing was recorded.
    #[error("the ledger is busy")]
    Busy,
    /// A background task ended before it answered.
    #[error("the ledger is shutting down")]
    Stopped,
}

impl Error {
    /// Whether trying again helps.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Busy | Self::Stopped => true,
            Self::Database(error) => is_unavailable(error),
            _ => false,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }
}

/// Why an operation did not do what it was asked for.
#[derive(Debug)]
pub enum OperationError<R> {
    /// The caller can do something about it.
    Refused(R),
    Failed(Error),
}

impl<R> OperationError<R> {
    /// As the error of an operation that does this one among others.
    pub(crate) fn widen<Wider: From<R>>(self) -> OperationError<Wider> {
        match self {
            Self::Refused(refusal) => OperationError::Refused(refusal.into()),
            Self::Failed(error) => OperationError::Failed(error),
        }
    }
}

/// For logs: what people are told is said by whoever tells them.
impl<R: fmt::Debug> fmt::Display for OperationError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<R: fmt::Debug> std::error::Error for OperationError<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

impl<R> From<Error> for OperationError<R> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<R> From<sqlx::Error> for OperationError<R> {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl<R> From<Overflow> for OperationError<R> {
    fn from(error: Overflow) -> Self {
        Self::Failed(error.into())
    }
}

/// Why an operation refuses, or a part of that: `?` makes the operation's error of it.
pub(crate) trait Cause {}

impl<C: Cause, R: From<C>> From<C> for OperationError<R> {
    fn from(cause: C) -> Self {
        Self::Refused(cause.into())
    }
}

/// Says of a type that operations refuse for it, and which of its variants contain other such types.
macro_rules! refusal {
    ($refusal:ident $(, $variant:ident($cause:ty))*) => {
        impl $crate::error::Cause for $refusal {}
        $(impl From<$cause> for $refusal {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        })*
    };
}
pub(crate) use refusal;

/// Whether Postgres could not be reached, lets nobody in or write, or is starting or stopping, so that
/// trying again helps.
pub(crate) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Connection, resources, operator intervention, authorisation, no such database, and read-only:
        // a standby, or a disk that is nearly full.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            let classes = ["08", "53", "57P", "28", "3D", "25006"];
            classes.iter().any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// Whether what a transaction was computed from has changed: it did nothing.
pub(crate) fn is_changed_since(error: &sqlx::Error) -> bool {
    // Of the functions `expect_…`.
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("TG001"))
}

/// Whether running the same transaction again can succeed: it lost a race.
pub(crate) fn is_lost_race(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01")) || is_known(error)
}

/// Whether somebody else has said something about the same message meanwhile.
pub(crate) fn is_known(error: &sqlx::Error) -> bool {
    let keys = ["claim_pkey", "message_event_pkey", "quarantine_message"];
    match error {
        sqlx::Error::Database(error) => error.constraint().is_some_and(|key| keys.contains(&key)),
        _ => false,
    }
}
