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
