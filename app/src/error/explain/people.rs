//! Who may do what: administrators, keys, sources, tokens.

use ledger::{
    AdministratorRefusal, GatewayRefusal, KeyNameFault, LifeOutOfRange, PasswordFault,
    SignInRefusal, SourceRefusal, UnknownKey,
};
use shared::problem::{FieldFault, Problem};

use super::{Explain, explain};

explain! {
    UnknownKey => Problem::NotFound,
}

impl Explain for AdministratorRefusal {
    fn problem(&self) -> Problem {
        match *self {
            Self::Name(fault) => Problem::field("name", fault),
            Self::NameTaken => Problem::field("name", FieldFault::Taken),
            Self::Password(fault) => fault.problem(),
        }
    }
}

impl Explain for PasswordFault {
    fn problem(&self) -> Problem {
        let fault = match *self {
            Self::TooShort { chars_min } => FieldFault::TooShort { min: chars_min },
            Self::TooLong { chars_max } => FieldFault::TooLong { max: chars_max },
        };
        Problem::field("password", fault)
    }
}

impl Explain for SignInRefusal {
    fn problem(&self) -> Problem {
        match *self {
            Self::WrongPassword => Problem::WrongPassword,
            Self::TooManyAttempts { seconds_to_wait } => Problem::RateLimited {
                retry_after_seconds: seconds_to_wait,
            },
        }
    }
}

impl Explain for KeyNameFault {
    fn problem(&self) -> Problem {
        Problem::field("name", self.0)
    }
}

impl Explain for LifeOutOfRange {
    fn problem(&self) -> Problem {
        let (min, max) = (1, self.seconds_max / 60);
        Problem::field("minutes", FieldFault::OutOfRange { min, max })
    }
}

impl Explain for SourceRefusal {
    fn problem(&self) -> Problem {
        match *self {
            Self::Name(fault) => Problem::field("name", fault),
            Self::NameTaken => Problem::field("name", FieldFault::Taken),
            Self::Namespace(fault) => Problem::field("namespace", fault),
            Self::NoUpstreamAddress => Problem::field("upstreamUrl", FieldFault::Missing),
            Self::NoUpstreamKey => Problem::field("upstreamKey", FieldFault::Missing),
        }
    }
}

impl Explain for GatewayRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Unknown => Problem::NotFound,
            Self::NoneNamed => Problem::field("app", FieldFault::Missing),
        }
    }
}
