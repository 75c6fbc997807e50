//! Reports of messages, those that wait or are missing, the jobs and the feed behind them.

use ledger::{
    DeliveryRefusal, DismissRefusal, MissingRefusal, NoModelNamed, NotInQuarantine,
    QuarantineRefusal, ReviewedCharge, UnknownCursor, UnknownFeedPlace, UnknownJob, UnknownMessage,
};
use shared::api::ReviewedMessage;
use shared::problem::{FieldFault, Problem};

use super::{Explain, explain};

explain! {
    NoModelNamed => Problem::field("modelName", FieldFault::Missing),
    NotInQuarantine => Problem::NotFound,
    UnknownCursor => Problem::field("cursor", FieldFault::NotACursor),
    UnknownFeedPlace => Problem::field("after", FieldFault::NotACursor),
    UnknownJob => Problem::NotFound,
    UnknownMessage => Problem::NotFound,
}

impl Explain for DeliveryRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Conflict { message_id } => Problem::MessageConflict {
                message_id: message_id.clone(),
            },
            Self::ResolvedAlready => Problem::NotFound,
        }
    }
}

impl Explain for DismissRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Reason(fault) => fault.problem(),
            Self::Id(unknown) => unknown.problem(),
        }
    }
}

impl Explain for QuarantineRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Id(unknown) => unknown.problem(),
            Self::OtherMessage { waiting } => {
                let allowed = waiting.clone();
                Problem::field("message_id", FieldFault::NotOneOf { allowed })
            }
            Self::UsageUnknown => Problem::field("usage", FieldFault::Missing),
            Self::Delivery(refusal) => refusal.problem(),
        }
    }
}

impl Explain for MissingRefusal {
    fn problem(&self) -> Problem {
        match self {
            Self::TokensUnknown => Problem::field("inputTokens", FieldFault::Missing),
            Self::Delivery(refusal) => refusal.problem(),
        }
    }
}

/// What became of missing messages, as it is told.
pub fn reviewed(charges: Vec<ReviewedCharge>) -> Vec<ReviewedMessage> {
    let told = charges.into_iter().map(|it| ReviewedMessage {
        message_id: it.message_id,
        problem: it
            .charged
            .as_ref()
            .err()
            .map(|error| error.problem().code().to_owned()),
        answer: it.charged.ok(),
    });
    told.collect()
}
