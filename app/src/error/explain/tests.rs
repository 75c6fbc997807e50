//! Codes never change, nor do the names of fields: callers' programs know them.

use ledger::*;
use shared::clock::Timestamp;
use shared::ids::IdError;
use shared::money::Overflow;
use shared::price::Unpriced;
use shared::problem::FieldFault as Fault;

use super::*;

fn says(refusal: &impl Explain, field: &str, fault: impl Into<Fault>) {
    assert_eq!(refusal.problem(), Problem::field(field, fault));
}

fn is_not_found(refusal: &impl Explain) {
    assert_eq!(refusal.problem(), Problem::NotFound);
}

#[test]
fn amounts() {
    says(
        &ReasonFault(IdError::TooLong(500)),
        "reason",
        Fault::TooLong { max: 500 },
    );
    says(
        &GrantRefusal::Reason(ReasonFault(IdError::Empty)),
        "reason",
        Fault::Empty,
    );
    says(&GrantRefusal::NoPoints, "points", Fault::NotPositive);
    says(&GrantRefusal::TakenWithExpiry, "points", Fault::NotPositive);
    says(&GrantRefusal::TooManyPoints, "points", Fault::TooLarge);
    says(&GrantRefusal::ExpiredAlready, "expiresAt", Fault::InThePast);
    assert_eq!(GrantRefusal::Key(KeyReused).problem(), Problem::KeyReused);
    says(&NegativeDebtLimit, "debtLimit", Fault::Negative);
    is_not_found(&RefundRefusal::Charge(UnknownCharge));
    says(&RefundRefusal::NoPoints, "points", Fault::NotPositive);
    says(&RefundRefusal::MoreThanCharged, "points", Fault::TooLarge);
    let (min, max) = (1, 3600);
    let too_long = CheckRefusal::Hold(HoldRefusal::SecondsOutOfRange { min, max });
    says(&too_long, "holdSeconds", Fault::OutOfRange { min, max });
    is_not_found(&ReleaseRefusal::Hold(UnknownHold));
    assert_eq!(ReleaseRefusal::Settled.problem(), Problem::Outdated);
    is_not_found(&SettleRefusal::Hold(UnknownHold));
}

#[test]
fn people() {
    says(
        &AdministratorRefusal::Name(IdError::Empty),
        "name",
        Fault::Empty,
    );
    says(&AdministratorRefusal::NameTaken, "name", Fault::Taken);
    let short = PasswordFault::TooShort { chars_min: 12 };
    says(
        &AdministratorRefusal::Password(short),
        "password",
        Fault::TooShort { min: 12 },
    );
    let long = PasswordFault::TooLong { chars_max: 1000 };
    says(&long, "password", Fault::TooLong { max: 1000 });
    assert_eq!(
        SignInRefusal::WrongPassword.problem(),
        Problem::WrongPassword
    );
    let limited = SignInRefusal::TooManyAttempts { seconds_to_wait: 7 };
    assert_eq!(limited.problem().retry_after_seconds(), Some(7));
    assert_eq!(limited.problem().status(), 429);
    says(
        &KeyNameFault(IdError::ControlCharacter),
        "name",
        Fault::ControlCharacter,
    );
    is_not_found(&UnknownKey);
    let life = LifeOutOfRange {
        seconds_max: 86_400,
    };
    says(&life, "minutes", Fault::OutOfRange { min: 1, max: 1440 });
    says(&SourceRefusal::Name(IdError::Empty), "name", Fault::Empty);
    says(&SourceRefusal::NameTaken, "name", Fault::Taken);
    says(
        &SourceRefusal::Namespace(IdError::Empty),
        "namespace",
        Fault::Empty,
    );
    says(
        &SourceRefusal::NoUpstreamAddress,
        "upstreamUrl",
        Fault::Missing,
    );
    says(&SourceRefusal::NoUpstreamKey, "upstreamKey", Fault::Missing);
    is_not_found(&GatewayRefusal::Unknown);
    says(&GatewayRefusal::NoneNamed, "app", Fault::Missing);
}

#[test]
fn prices() {
    says(
        &PriceRefusal::NegativePerRequest,
        "perRequest",
        Fault::Negative,
    );
    assert_eq!(PriceRefusal::Outdated.problem(), Problem::Outdated);
    says(
        &PriceRefusal::StartInThePast,
        "effectiveFrom",
        Fault::InThePast,
    );
    let unknown = EstimateRefusal::Unpriced(Unpriced::UnknownModel);
    says(
        &CheckRefusal::Estimate(unknown),
        "modelName",
        Fault::NotPriced,
    );
    says(
        &EstimateRefusal::NothingPriced,
        "modelName",
        Fault::NotPriced,
    );
    let inactive = EstimateRefusal::Unpriced(Unpriced::InactivePrice);
    says(&inactive, "modelName", Fault::PriceInactive);
    says(
        &EstimateRefusal::TooManyTokens,
        "inputTokens",
        Fault::TooLarge,
    );
    says(
        &RerateRefusal::Versions,
        "priceVersionIds",
        Fault::NotPriced,
    );
    let from = Timestamp::from_unix_seconds(0).unwrap();
    let than = from.to_string();
    says(
        &RerateRefusal::EmptyRange { from },
        "to",
        Fault::NotLater { than: than.clone() },
    );
    says(
        &RollupRefusal::EmptyRange { from },
        "to",
        Fault::NotLater { than },
    );
    let allowed = "day".to_owned();
    says(
        &RollupRefusal::TooManyHours,
        "by",
        Fault::NotOneOf { allowed },
    );
    says(&RollupRefusal::TooManyDays, "to", Fault::TooLarge);
}

#[test]
fn reports() {
    let message_id = "m".to_owned();
    let conflict = DeliveryRefusal::Conflict {
        message_id: message_id.clone(),
    };
    let told = Problem::MessageConflict { message_id };
    assert_eq!(SettleRefusal::Delivery(conflict.clone()).problem(), told);
    assert_eq!(MissingRefusal::Delivery(conflict).problem(), told);
    is_not_found(&QuarantineRefusal::Delivery(
        DeliveryRefusal::ResolvedAlready,
    ));
    is_not_found(&QuarantineRefusal::Id(NotInQuarantine));
    is_not_found(&DismissRefusal::Id(NotInQuarantine));
    let waiting = "m".to_owned();
    let allowed = waiting.clone();
    let other = QuarantineRefusal::OtherMessage { waiting };
    says(&other, "message_id", Fault::NotOneOf { allowed });
    says(&QuarantineRefusal::UsageUnknown, "usage", Fault::Missing);
    says(
        &MissingRefusal::TokensUnknown,
        "inputTokens",
        Fault::Missing,
    );
    says(&NoModelNamed, "modelName", Fault::Missing);
    says(&UnknownCursor, "cursor", Fault::NotACursor);
    says(&UnknownFeedPlace, "after", Fault::NotACursor);
    is_not_found(&UnknownJob);
    is_not_found(&UnknownMessage);
}

#[test]
fn what_is_nobodys_choice_is_busy_or_internal() {
    let failed = OperationError::<UnknownKey>::Failed;
    assert_eq!(failed(Error::Sealing).problem(), Problem::Internal);
    assert!(failed(Error::Sealing).cause().is_some());
    for away in [Error::Busy, Error::Stopped] {
        assert_eq!(failed(away).problem().retry_after_seconds(), Some(2));
    }
    assert!(Error::Busy.cause().is_none(), "a full queue is no fault");
    says(
        &failed(Error::Overflow(Overflow)),
        "points",
        Fault::TooLarge,
    );
}
