use shared::money::Overflow;
use shared::problem::Problem;

pub type Result<T> = std::result::Result<T, Error>;

/// Why the ledger did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can do something about it.
    #[error("{}", .0.code())]
    Problem(Problem),
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
    /// A background task ended before it answered.
    #[error("the ledger is shutting down")]
    Stopped,
}

impl Error {
    /// What the caller is told. Whatever is not the caller's business is [`Problem::Internal`].
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::Stopped => BUSY,
            Self::Database(error) if is_unavailable(error) => BUSY,
            _ => Problem::Internal,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }
}

pub(crate) const BUSY: Problem = Problem::Busy {
    retry_after_seconds: 2,
};

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Overflow> for Error {
    fn from(_: Overflow) -> Self {
        Problem::field("points", shared::problem::FieldFault::TooLarge).into()
    }
}

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
