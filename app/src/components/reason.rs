//! Why something was not charged, in a few words.

use shared::api::QuarantineReason;
use shared::problem::{FieldFault, Problem};

use crate::text::{Say, Texts};

#[must_use]
pub fn reason_label(reason: QuarantineReason) -> Say {
    match reason {
        QuarantineReason::UnknownModel => |t: &'static Texts| t.reason.unknown_model,
        QuarantineReason::InactivePrice => |t: &'static Texts| t.reason.inactive_price,
        QuarantineReason::ContradictoryTokens => |t: &'static Texts| t.reason.contradictory_tokens,
        QuarantineReason::ZeroUsage => |t: &'static Texts| t.reason.zero_usage,
        QuarantineReason::TooManyTokens => |t: &'static Texts| t.reason.too_many_tokens,
        QuarantineReason::Overflow => |t: &'static Texts| t.reason.overflow,
        QuarantineReason::Unreadable => |t: &'static Texts| t.reason.unreadable,
        QuarantineReason::IncompleteTrace => |t: &'static Texts| t.reason.incomplete_trace,
        QuarantineReason::AnotherUser => |t: &'static Texts| t.reason.another_user,
    }
}

/// The words for each problem, and one of each, from one table: a problem without words does not
/// compile.
macro_rules! problem_labels {
    ($($variant:ident $({ $($field:ident),+ })? => $words:ident,)+) => {
        fn problem_label(problem: &Problem) -> Say {
            match problem {
                $(Problem::$variant $({ $($field: _),+ })? => |t: &'static Texts| t.reason.$words,)+
                Problem::InvalidField { fault, .. } => match fault {
                    FieldFault::NotPriced => |t: &'static Texts| t.reason.unknown_model,
                    FieldFault::PriceInactive => |t: &'static Texts| t.reason.inactive_price,
                    _ => |t: &'static Texts| t.reason.invalid_field,
                },
            }
        }

        fn problems() -> Vec<Problem> {
            vec![
                $(Problem::$variant $({ $($field: Default::default()),+ })?,)+
                Problem::field("", FieldFault::NotPriced),
                Problem::field("", FieldFault::PriceInactive),
                Problem::field("", FieldFault::Missing),
            ]
        }
    };
}

problem_labels! {
    InvalidJson { detail } => invalid_json,
    MissingKey => missing_key,
    InvalidKey => invalid_key,
    MissingSignature => missing_signature,
    InvalidSignature => invalid_signature,
    StaleTimestamp => stale_timestamp,
    SignInRequired => sign_in_required,
    WrongPassword => wrong_password,
    LinkExpired => link_expired,
    WrongScope { needed } => wrong_scope,
    CrossSite => cross_site,
    OtherUser => other_user,
    NotFound => not_found,
    MethodNotAllowed => method_not_allowed,
    MessageConflict { message_id } => message_conflict,
    KeyReused => key_reused,
    Outdated => outdated,
    TooLarge { bytes_max } => payload_too_large,
    RateLimited { retry_after_seconds } => rate_limited,
    Busy { retry_after_seconds } => busy,
    Internal => internal,
}

/// The words for what the ledger recorded with a delivery: a quarantine reason or a problem's code.
/// `None` for a code of another version.
#[must_use]
pub fn code_label(code: &str) -> Option<Say> {
    let mut reasons = QuarantineReason::ALL.into_iter();
    if let Some(reason) = reasons.find(|reason| reason.as_str() == code) {
        return Some(reason_label(reason));
    }
    let mut problems = problems().into_iter();
    let problem = problems.find(|problem| problem.code() == code)?;
    Some(problem_label(&problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::locale::Locale;

    #[test]
    fn every_recorded_reason_has_words_of_its_own_in_both_languages() {
        let reasons = QuarantineReason::ALL.map(QuarantineReason::as_str);
        let problems = problems();
        let codes = problems.iter().map(Problem::code).chain(reasons);
        for code in codes {
            let label = code_label(code).unwrap_or_else(|| panic!("no words for {code}"));
            let [english, chinese] = [Locale::En, Locale::Zh].map(|it| label(Texts::of(it)));
            assert!(
                !english.contains('_') && english.ends_with('.'),
                "{english}"
            );
            assert!(chinese.ends_with('。'), "{chinese}");
        }
        assert!(code_label("a_code_of_tomorrow").is_none());
    }

    #[test]
    fn a_problem_is_told_from_the_others() {
        let said = |code: &str| code_label(code).unwrap()(Texts::of(Locale::En));
        assert_eq!(said("model_not_priced"), "The model has no price.");
        assert_eq!(said("invalid_field"), "A field is missing or wrong.");
        assert_eq!(said("stale_timestamp"), "The signature is too old.");
    }
}
