//! What people type into forms. The browser and the server read it with the same code.

use std::str::FromStr;

use shared::ids::UserId;
use shared::money::AmountError;
use shared::problem::{FieldFault, Problem};

/// A number without what groups its digits: "1,500", "1 500" and "1_500" are 1500. Only groups of
/// three are taken for groups, so that "1,5" is refused and not read as 15.
fn ungrouped(typed: &str) -> Option<String> {
    // The second comma is what a Chinese keyboard types.
    const SEPARATORS: [char; 6] = [',', '，', ' ', '_', '\u{a0}', '\u{202f}'];

    // The minus sign of our own pages, for what is copied from there.
    let typed = typed.trim().replace('−', "-");
    let whole_len = typed.find('.').unwrap_or(typed.len());
    let (whole, fraction) = typed.split_at_checked(whole_len)?;
    let mut groups = whole.trim_start_matches('-').split(SEPARATORS);
    let first = groups.next()?;
    let mut rest = groups.peekable();
    if rest.peek().is_none() {
        return Some(typed);
    }
    let is_grouped = (1..=3).contains(&first.len()) && rest.all(|group| group.len() == 3);
    is_grouped.then(|| whole.replace(SEPARATORS, "") + fraction)
}

/// A whole number, 0 or more.
///
/// # Errors
/// A fault of the field, also where nothing was typed.
pub fn count(field: &str, typed: &str) -> Result<u64, Problem> {
    ungrouped(typed)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Problem::field(field, FieldFault::NotACount))
}

/// As [`count`], with nothing for 0.
///
/// # Errors
/// A fault of the field.
pub fn count_or_zero(field: &str, typed: &str) -> Result<u64, Problem> {
    if typed.trim().is_empty() {
        return Ok(0);
    }
    count(field, typed)
}

/// Points, or a price.
///
/// # Errors
/// A fault of the field.
pub fn amount<T: FromStr<Err = AmountError>>(field: &str, typed: &str) -> Result<T, Problem> {
    ungrouped(typed)
        .ok_or(AmountError::NotANumber)
        .and_then(|number| number.parse())
        .map_err(|fault| Problem::field(field, fault))
}

/// As [`amount`], with nothing for `None`.
///
/// # Errors
/// A fault of the field.
pub fn optional_amount<T: FromStr<Err = AmountError>>(
    field: &str,
    typed: &str,
) -> Result<Option<T>, Problem> {
    if typed.trim().is_empty() {
        return Ok(None);
    }
    amount(field, typed).map(Some)
}

/// # Errors
/// A fault of the field `userId`.
pub fn parse_user(typed: &str) -> Result<UserId, Problem> {
    typed
        .parse()
        .map_err(|fault| Problem::field("userId", FieldFault::from(fault)))
}

/// # Errors
/// A fault of the field `reason`.
pub fn refuse_no_reason(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::field("reason", FieldFault::Empty));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::money::Points;

    #[test]
    fn a_number_may_be_grouped_by_thousands() {
        for typed in [
            "1500",
            " 1,500 ",
            "1 500",
            "1，500",
            "1_500",
            "1\u{202f}500",
        ] {
            assert_eq!(count("f", typed), Ok(1500), "{typed:?}");
        }
        assert_eq!(count("f", "1,234,567"), Ok(1_234_567));
        let points = |typed: &str| amount::<Points>("f", typed).map(|points| points.to_string());
        assert_eq!(points("1,234.5"), Ok("1234.5".to_owned()));
        assert_eq!(points("−12,000"), Ok("-12000".to_owned()));
    }

    #[test]
    fn what_is_not_a_group_of_three_is_not_guessed() {
        let not_a_count = Err(Problem::field("f", FieldFault::NotACount));
        for typed in [
            "1,5", "15,00", "1500,000", ",500", "1,,500", "1,500.5", "-1",
        ] {
            assert_eq!(count("f", typed), not_a_count, "{typed:?}");
        }
        let not_a_number = Err(Problem::field("f", FieldFault::NotANumber));
        assert_eq!(amount::<Points>("f", "1,5"), not_a_number);
    }

    #[test]
    fn nothing_is_a_count_only_where_it_may_be_left_out() {
        assert_eq!(count_or_zero("f", " "), Ok(0));
        assert_eq!(
            count("f", ""),
            Err(Problem::field("f", FieldFault::NotACount))
        );
        assert_eq!(optional_amount::<Points>("f", ""), Ok(None));
    }
}
