//! Posting to accounts: the only way to append to a chain, so that balance, credits, holds and hashes
//! move together, in one write.

pub(crate) mod accounts;
pub(crate) mod cache;
pub(crate) mod clock;
