//! Points given and taken, refunds, holds, and checks before a call.

use ledger::{
    CheckRefusal, GrantRefusal, HoldRefusal, KeyReused, NegativeDebtLimit, ReasonFault,
    RefundRefusal, ReleaseRefusal, SettleRefusal, UnknownCharge, UnknownHold,
};
use shared::problem::{FieldFault, Problem};

use super::{Explain, explain};

explain! {
    KeyReused => Problem::KeyReused,
    NegativeDebtLimit => Problem::field("debtLimit", FieldFault::Negative),
    UnknownCharge => Problem::NotFound,
    UnknownHold => Problem::NotFound,
}

impl Explain for ReasonFault {
    fn problem(&self) -> Problem {
        Problem::field("reason", self.0)
    }
}

impl Explain for GrantRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Reason(fault) => fault.problem(),
            Self::NoPoints | Self::TakenWithExpiry => {
                Problem::field("points", FieldFault::NotPositive)
            }
            Self::ExpiredAlready => Problem::field("expiresAt", FieldFault::InThePast),
            Self::TooManyPoints => Problem::field("points", FieldFault::TooLarge),
            Self::Key(reused) => reused.problem(),
        }
    }
}

impl Explain for RefundRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Reason(fault) => fault.problem(),
            Self::Charge(unknown) => unknown.problem(),
            Self::NoPoints => Problem::field("points", FieldFault::NotPositive),
            Self::MoreThanCharged => Problem::field("points", FieldFault::TooLarge),
            Self::Key(reused) => reused.problem(),
        }
    }
}

impl Explain for HoldRefusal {
    fn problem(&self) -> Problem {
        match *self {
            Self::SecondsOutOfRange { min, max } => {
                Problem::field("holdSeconds", FieldFault::OutOfRange { min, max })
            }
            Self::Key(reused) => reused.problem(),
        }
    }
}

impl Explain for ReleaseRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Hold(unknown) => unknown.problem(),
            Self::Settled => Problem::Outdated,
        }
    }
}

impl Explain for SettleRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Hold(unknown) => unknown.problem(),
            Self::Delivery(refusal) => refusal.problem(),
        }
    }
}

impl Explain for CheckRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Estimate(refusal) => refusal.problem(),
            Self::Hold(refusal) => refusal.problem(),
        }
    }
}
