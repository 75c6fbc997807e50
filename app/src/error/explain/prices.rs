//! Prices, what calls will cost by them, re-rating, and sums of time.

use ledger::{EstimateRefusal, PriceRefusal, RerateRefusal, RollupRefusal};
use shared::api::RollupPeriod;
use shared::clock::Timestamp;
use shared::price::Unpriced;
use shared::problem::{FieldFault, Problem};

use super::Explain;

impl Explain for PriceRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::NegativePerRequest => Problem::field("perRequest", FieldFault::Negative),
            Self::Outdated => Problem::Outdated,
            Self::StartInThePast => Problem::field("effectiveFrom", FieldFault::InThePast),
        }
    }
}

impl Explain for EstimateRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Unpriced(Unpriced::UnknownModel) | Self::NothingPriced => {
                Problem::field("modelName", FieldFault::NotPriced)
            }
            Self::Unpriced(Unpriced::InactivePrice) => {
                Problem::field("modelName", FieldFault::PriceInactive)
            }
            Self::TooManyTokens => Problem::field("inputTokens", FieldFault::TooLarge),
        }
    }
}

impl Explain for RerateRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Reason(fault) => fault.problem(),
            Self::Versions => Problem::field("priceVersionIds", FieldFault::NotPriced),
            Self::EmptyRange { from } => empty_range(*from),
        }
    }
}

impl Explain for RollupRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::EmptyRange { from } => empty_range(*from),
            Self::TooManyHours => {
                let allowed = RollupPeriod::Day.as_str().to_owned();
                Problem::field("by", FieldFault::NotOneOf { allowed })
            }
            Self::TooManyDays => Problem::field("to", FieldFault::TooLarge),
        }
    }
}

fn empty_range(from: Timestamp) -> Problem {
    let than = from.to_string();
    Problem::field("to", FieldFault::NotLater { than })
}
