//! Numbers as people read them: grouped by thousands, with every digit that is not zero.

use shared::money::Points;

/// `-1234567.5` as `−1,234,567.5`, with a true minus sign, which screen readers say and which does
/// not break from its number.
#[must_use]
pub fn points_text(points: Points) -> String {
    grouped(&points.to_string())
}

/// As [`points_text`], with a plus sign for gains.
#[must_use]
pub fn signed_points_text(points: Points) -> String {
    let text = points_text(points);
    if points > Points::ZERO {
        ["+", &text].concat()
    } else {
        text
    }
}

#[must_use]
pub fn count_text(count: u64) -> String {
    grouped(&count.to_string())
}

/// Groups the whole part of a plain decimal number.
#[must_use]
pub fn grouped(number: &str) -> String {
    let (sign, magnitude) = match number.strip_prefix('-') {
        Some(magnitude) => ("−", magnitude),
        None => ("", number),
    };
    let whole_len = magnitude.find('.').unwrap_or(magnitude.len());
    let mut text = String::from(sign);
    for (at, digit) in magnitude.char_indices() {
        if at > 0 && at < whole_len && (whole_len - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `part` of `whole` in percent, for the length of a bar; at least 1 when there is anything.
#[must_use]
pub fn percent(part: Points, whole: Points) -> u8 {
    if part <= Points::ZERO || whole <= Points::ZERO {
        return 0;
    }
    let share = i128::from(part.nano()) * 100 / i128::from(whole.nano());
    u8::try_from(share.clamp(1, 100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_and_fractions_are_not() {
        assert_eq!(grouped("0"), "0");
        assert_eq!(grouped("999"), "999");
        assert_eq!(grouped("1000"), "1,000");
        assert_eq!(grouped("1234567.123456789"), "1,234,567.123456789");
        assert_eq!(grouped("-93"), "−93");
        assert_eq!(grouped("-123456"), "−123,456");
    }

    #[test]
    fn gains_carry_a_plus_sign() {
        assert_eq!(signed_points_text("1500".parse().unwrap()), "+1,500");
        assert_eq!(signed_points_text(Points::ZERO), "0");
        assert_eq!(signed_points_text("-0.5".parse().unwrap()), "−0.5");
    }

    #[test]
    fn a_bar_is_visible_whenever_there_is_something() {
        let points = |text: &str| text.parse::<Points>().unwrap();
        assert_eq!(percent(points("0"), points("10")), 0);
        assert_eq!(percent(points("0.000000001"), points("10")), 1);
        assert_eq!(percent(points("5"), points("10")), 50);
        assert_eq!(percent(Points::MAX, Points::MAX), 100);
        assert_eq!(percent(points("5"), Points::ZERO), 0);
    }
}
