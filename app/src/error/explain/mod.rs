//! What a caller is told of what the ledger refuses: status, code, and the name that the field at
//! fault has on every edge. The one place where this is said; the server's edges use it too.
//!
//! Nothing is matched by `_`, so that a new refusal does not compile before it has words.

mod amounts;
mod people;
mod prices;
mod reports;

use access::Denial;
use access::signature::SignatureFault;
use ledger::{Error, OperationError};
use shared::problem::{FieldFault, Problem};

pub use reports::reviewed;

/// Seconds after which somebody who was told "busy" may try again.
const RETRY_AFTER_SECONDS: u32 = 2;

/// What went wrong, as its caller is told.
pub trait Explain: Sized {
    fn problem(&self) -> Problem;

    /// What happened inside, where it belongs into the log; never told.
    fn cause(self) -> Option<Error> {
        None
    }
}

impl Explain for Problem {
    fn problem(&self) -> Problem {
        self.clone()
    }
}

/// Whatever is not the caller's business is "internal".
impl Explain for Error {
    fn problem(&self) -> Problem {
        match self {
            Self::Overflow(_) => Problem::field("points", FieldFault::TooLarge),
            error if error.is_passing() => Problem::Busy {
                retry_after_seconds: RETRY_AFTER_SECONDS,
            },
            _ => Problem::Internal,
        }
    }

    /// That too much was asked for is nobody's fault.
    fn cause(self) -> Option<Error> {
        match self {
            Self::Busy | Self::Overflow(_) => None,
            error => Some(error),
        }
    }
}

impl<R: Explain> Explain for OperationError<R> {
    fn problem(&self) -> Problem {
        match self {
            Self::Refused(refusal) => refusal.problem(),
            Self::Failed(error) => error.problem(),
        }
    }

    fn cause(self) -> Option<Error> {
        match self {
            Self::Refused(refusal) => refusal.cause(),
            Self::Failed(error) => error.cause(),
        }
    }
}

impl Explain for Denial {
    fn problem(&self) -> Problem {
        match self {
            Self::MissingKey => Problem::MissingKey,
            Self::InvalidKey => Problem::InvalidKey,
            Self::SignInRequired => Problem::SignInRequired,
            Self::WrongScope(needed) => Problem::WrongScope {
                needed: (*needed).to_owned(),
            },
            Self::OtherUser => Problem::OtherUser,
            Self::NobodyNamed => Problem::field("userId", FieldFault::Missing),
            Self::CrossSite => Problem::CrossSite,
            Self::Signature(SignatureFault::Missing) => Problem::MissingSignature,
            Self::Signature(SignatureFault::Invalid) => Problem::InvalidSignature,
            Self::Signature(SignatureFault::Stale) => Problem::StaleTimestamp,
            Self::Ledger(error) => error.problem(),
        }
    }

    fn cause(self) -> Option<Error> {
        match self {
            Self::Ledger(error) => error.cause(),
            _ => None,
        }
    }
}

/// Says of refusals that are nothing but one problem which.
macro_rules! explain {
    ($($refusal:ident => $problem:expr,)+) => {
        $(impl Explain for $refusal {
            fn problem(&self) -> Problem {
                $problem
            }
        })+
    };
}
use explain;

#[cfg(test)]
mod tests;
