use std::time::Duration;

use reqwest::{StatusCode, Url};

/// Why Dify does not say what it was asked. Addresses are told without their query, which names
/// users.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("{0} is no address")]
    NoAddress(String),
    #[error("{address} does not answer")]
    Unreachable {
        address: String,
        source: reqwest::Error,
    },
    #[error("{address} does not answer within {} seconds", after.as_secs())]
    Silent { address: String, after: Duration },
    #[error("{address} answers {status}")]
    Refused { address: String, status: StatusCode },
    #[error("{address} answers something else than expected")]
    Unreadable {
        address: String,
        source: reqwest::Error,
    },
    #[error("{address} broke its answer off")]
    BrokenOff {
        address: String,
        source: reqwest::Error,
    },
}

impl AskError {
    pub(crate) fn unreachable(address: &Url, source: reqwest::Error) -> Self {
        Self::Unreachable {
            address: without_query(address),
            source: source.without_url(),
        }
    }

    pub(crate) fn silent(address: &Url, after: Duration) -> Self {
        Self::Silent {
            address: without_query(address),
            after,
        }
    }

    pub(crate) fn refused(address: &Url, status: StatusCode) -> Self {
        Self::Refused {
            address: without_query(address),
            status,
        }
    }

    pub(crate) fn unreadable(address: &Url, source: reqwest::Error) -> Self {
        Self::Unreadable {
            address: without_query(address),
            source: source.without_url(),
        }
    }

    pub(crate) fn broken_off(address: &Url, source: reqwest::Error) -> Self {
        Self::BrokenOff {
            address: without_query(address),
            source: source.without_url(),
        }
    }
}

fn without_query(address: &Url) -> String {
    let mut address = address.clone();
    address.set_query(None);
    address.into()
}
