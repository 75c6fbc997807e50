use shared::problem::{FieldFault, Problem};

use crate::signature::SignatureFault;

/// Why a request may not do what it asks for.
#[derive(Debug, thiserror::Error)]
pub enum Denial {
    #[error("no key was presented")]
    MissingKey,
    #[error("the key is unknown or revoked")]
    InvalidKey,
    #[error("the session has ended")]
    SignInRequired,
    #[error("the scope {0} is needed")]
    WrongScope(&'static str),
    #[error("a user named somebody else")]
    OtherUser,
    #[error("an operator named nobody")]
    NobodyNamed,
    #[error("the request comes from another site")]
    CrossSite,
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    /// Nobody can be asked.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

impl Denial {
    /// What the caller is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
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

    /// What happened inside, where that is why: it belongs into the log.
    #[must_use]
    pub fn cause(self) -> Option<ledger::Error> {
        match self {
            Self::Ledger(error) => Some(error),
            _ => None,
        }
    }
}
