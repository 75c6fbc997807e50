//! A problem as a list of words, which is how it travels to the page. Its own derived form would
//! cost the browser 25 KB of code to read, for something that rarely comes.

use shared::problem::{FieldFault, Problem};

/// Both directions from one table, so that neither can forget a variant: the way out does not
/// compile without it, and the way back is made of the same line.
macro_rules! table {
    ($out:ident, $back:ident, $kind:ident, $($name:literal => $variant:ident $({ $($field:ident),+ })?,)+ ; $($other:tt)*) => {
        fn $out(value: &$kind) -> Vec<String> {
            match value {
                $($kind::$variant $({ $($field),+ })? => {
                    vec![$name.to_owned(), $($($field.to_string()),+)?]
                })+
                $($other)*
            }
        }

        fn $back(words: &[String]) -> Option<$kind> {
            let mut words = words.iter();
            match words.next()?.as_str() {
                $($name => Some($kind::$variant $({ $($field: words.next()?.parse().ok()?),+ })?),)+
                _ => None,
            }
        }
    };
}

table! { fault_words, fault_from, FieldFault,
    "missing" => Missing,
    "not_text" => NotText,
    "empty" => Empty,
    "too_long" => TooLong { max },
    "control_character" => ControlCharacter,
    "not_a_count" => NotACount,
    "not_a_number" => NotANumber,
    "negative" => Negative,
    "too_precise" => TooPrecise { decimals },
    "too_large" => TooLarge,
    "not_a_time" => NotATime,
    "not_positive" => NotPositive,
    "in_the_past" => InThePast,
    "not_later" => NotLater { than },
    "not_one_of" => NotOneOf { allowed },
    "not_priced" => NotPriced,
    "price_inactive" => PriceInactive,
    "not_a_cursor" => NotACursor,
    "out_of_range" => OutOfRange { min, max },
    "too_short" => TooShort { min },
    "taken" => Taken,
    "unknown" => Unknown,
    ;
}

table! { plain_words, plain_from, Problem,
    "invalid_json" => InvalidJson { detail },
    "missing_key" => MissingKey,
    "invalid_key" => InvalidKey,
    "missing_signature" => MissingSignature,
    "invalid_signature" => InvalidSignature,
    "stale_timestamp" => StaleTimestamp,
    "sign_in_required" => SignInRequired,
    "wrong_password" => WrongPassword,
    "link_expired" => LinkExpired,
    "wrong_scope" => WrongScope { needed },
    "cross_site" => CrossSite,
    "other_user" => OtherUser,
    "not_found" => NotFound,
    "method_not_allowed" => MethodNotAllowed,
    "message_conflict" => MessageConflict { message_id },
    "key_reused" => KeyReused,
    "outdated" => Outdated,
    "too_large" => TooLarge { bytes_max },
    "rate_limited" => RateLimited { retry_after_seconds },
    "busy" => Busy { retry_after_seconds },
    "internal" => Internal,
    ;
    Problem::InvalidField { field, fault } => {
        let mut words = vec![FIELD.to_owned(), field.clone()];
        words.append(&mut fault_words(fault));
        words
    }
}

/// The word before a field's name and its fault.
const FIELD: &str = "invalid_field";

pub fn problem_words(problem: &Problem) -> Vec<String> {
    plain_words(problem)
}

/// `None` for words that no problem is made of.
pub fn problem_from(words: &[String]) -> Option<Problem> {
    match words {
        [name, field, fault @ ..] if name == FIELD => Some(Problem::InvalidField {
            field: field.clone(),
            fault: fault_from(fault)?,
        }),
        words => plain_from(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(problem: Problem) {
        assert_eq!(problem_from(&problem_words(&problem)), Some(problem));
    }

    #[test]
    fn a_problem_survives_the_way_to_the_page() {
        survives(Problem::Internal);
        survives(Problem::InvalidJson {
            detail: String::new(),
        });
        survives(Problem::RateLimited {
            retry_after_seconds: u32::MAX,
        });
        survives(Problem::field("points", FieldFault::Empty));
        survives(Problem::field(
            "limit",
            FieldFault::OutOfRange { min: 1, max: 100 },
        ));
        survives(Problem::field(
            "kind",
            FieldFault::NotOneOf {
                allowed: "charge, grant".into(),
            },
        ));
    }

    #[test]
    fn other_words_are_no_problem() {
        let words = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        assert_eq!(problem_from(&[]), None);
        assert_eq!(problem_from(&words(&["nonsense"])), None);
        assert_eq!(problem_from(&words(&["busy", "soon"])), None);
        assert_eq!(problem_from(&words(&["invalid_field", "points"])), None);
    }
}
