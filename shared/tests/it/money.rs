//! Amounts: text and JSON, both ways, exactly.

use shared::money::{AmountError, Nano, Overflow, Points, UnitPrice};

use crate::test;

#[test]
fn points_read_and_print_like_people_write_them() {
    for (text, nano, printed) in [
        ("93", 93_000_000_000, "93"),
        ("0.93", 930_000_000, "0.93"),
        ("-0.93", -930_000_000, "-0.93"),
        ("+5", 5_000_000_000, "5"),
        ("0", 0, "0"),
        ("-0", 0, "0"),
        ("0.000000001", 1, "0.000000001"),
        ("10.50", 10_500_000_000, "10.5"),
        (".5", 500_000_000, "0.5"),
        ("7.", 7_000_000_000, "7"),
        ("  1  ", 1_000_000_000, "1"),
        ("0007", 7_000_000_000, "7"),
        ("1.5000000000000", 1_500_000_000, "1.5"),
        ("1e-7", 100, "0.0000001"),
        ("0E-7", 0, "0"),
        ("1E+2", 100_000_000_000, "100"),
        ("0e30000", 0, "0"),
        ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
        ("-9223372036.854775808", i64::MIN, "-9223372036.854775808"),
    ] {
        let points: Points = text.parse().unwrap();
        assert_eq!(points.nano(), nano, "{text}");
        assert_eq!(points.to_string(), printed, "{text}");
    }
}

#[test]
fn texts_that_are_no_points_say_why() {
    for (text, error) in [
        ("", AmountError::Empty),
        ("   ", AmountError::Empty),
        ("abc", AmountError::NotANumber),
        (".", AmountError::NotANumber),
        ("-", AmountError::NotANumber),
        ("--1", AmountError::NotANumber),
        ("+-1", AmountError::NotANumber),
        ("1,000", AmountError::NotANumber),
        ("1 000", AmountError::NotANumber),
        ("1.2.3", AmountError::NotANumber),
        ("0x10", AmountError::NotANumber),
        ("NaN", AmountError::NotANumber),
        ("inf", AmountError::NotANumber),
        ("1e", AmountError::NotANumber),
        ("1e1.5", AmountError::NotANumber),
        ("e5", AmountError::NotANumber),
        ("１", AmountError::NotANumber),
        ("0.0000000001", AmountError::TooPrecise(9)),
        ("1e-10", AmountError::TooPrecise(9)),
        ("9223372036.854775808", AmountError::TooLarge),
        ("-9223372036.854775809", AmountError::TooLarge),
        ("1e10", AmountError::TooLarge),
        ("1e30000", AmountError::TooLarge),
    ] {
        assert_eq!(text.parse::<Points>(), Err(error), "{text:?}");
    }
}

#[test]
fn unit_prices_are_points_per_thousand_tokens() {
    for (text, nano_per_token, printed) in [
        ("30", 30_000_000, "30"),
        ("0.000001", 1, "0.000001"),
        ("0.150", 150_000, "0.15"),
        ("0", 0, "0"),
    ] {
        let price: UnitPrice = text.parse().unwrap();
        assert_eq!(price.nano_per_token(), nano_per_token, "{text}");
        assert_eq!(price.to_string(), printed, "{text}");
    }
    assert_eq!("-1".parse::<UnitPrice>(), Err(AmountError::Negative));
    assert_eq!(
        "0.0000001".parse::<UnitPrice>(),
        Err(AmountError::TooPrecise(6))
    );
    assert_eq!(
        UnitPrice::from_nano_per_token(-1),
        Err(AmountError::Negative)
    );
}

#[test]
fn json_has_plain_decimals_and_exact_nano_texts() {
    for (nano, json) in [
        (93_000_000_000, "93"),
        (930_000_000, "0.93"),
        (-2_500_000_000, "-2.5"),
        (1, "0.000000001"),
        (i64::MAX, "9223372036.854775807"),
    ] {
        let points = Points::from_nano(nano);
        assert_eq!(serde_json::to_string(&points).unwrap(), json);
        assert_eq!(
            serde_json::to_string(&Nano::from(points)).unwrap(),
            format!("\"{nano}\"")
        );
    }
    assert_eq!(
        serde_json::to_string(&"0.15".parse::<UnitPrice>().unwrap()).unwrap(),
        "0.15"
    );
}

#[test]
fn json_amounts_are_read_from_numbers_and_texts_alike() {
    for json in ["0.1", "\"0.1\"", "1e-1", "\"1E-1\"", " 0.10 "] {
        let points: Points = serde_json::from_str(json).unwrap();
        assert_eq!(points.nano(), 100_000_000, "{json}");
    }
    for json in ["null", "true", "[]", "{}", "\"\"", "\"abc\"", "1e99"] {
        assert!(serde_json::from_str::<Points>(json).is_err(), "{json}");
    }
    assert!(serde_json::from_str::<UnitPrice>("-1").is_err());
    assert!(serde_json::from_str::<Nano>("1").is_err(), "not a text");
    assert!(serde_json::from_str::<Nano>("\"1.5\"").is_err());
}

/// serde_json reads through a `Value` where a request is taken apart by hand.
#[test]
fn json_amounts_survive_a_value() {
    let points: Points = "1234.000000001".parse().unwrap();
    let value = serde_json::to_value(points).unwrap();
    assert_eq!(serde_json::from_value::<Points>(value).unwrap(), points);
}

#[test]
fn points_tell_their_sign() {
    for (nano, is_negative, is_zero) in [(-1, true, false), (0, false, true), (1, false, false)] {
        let points = Points::from_nano(nano);
        assert_eq!(
            (points.is_negative(), points.is_zero()),
            (is_negative, is_zero),
            "{nano}"
        );
    }
}

#[test]
fn arithmetic_refuses_to_leave_the_range() {
    let one = Points::from_nano(1);
    assert_eq!(Points::MAX.plus(one), Err(Overflow));
    assert_eq!(Points::from_nano(i64::MIN).minus(one), Err(Overflow));
    assert_eq!(Points::from_nano(i64::MIN).negated(), Err(Overflow));
    assert_eq!(Points::sum([Points::MAX, one]), Err(Overflow));
    // Only the result must fit, not every sum on the way.
    assert_eq!(
        Points::sum([Points::MAX, one, Points::from_nano(-1)]),
        Ok(Points::MAX)
    );
    assert_eq!(Points::try_from(i128::from(i64::MAX) + 1), Err(Overflow));
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;
    use shared::money::{Nano, Points, UnitPrice};

    proptest! {
        #[test]
        fn points_round_trip(nano: i64) {
            let points = Points::from_nano(nano);
            prop_assert_eq!(points.to_string().parse(), Ok(points));
            let json = serde_json::to_string(&points).unwrap();
            prop_assert_eq!(serde_json::from_str::<Points>(&json).unwrap(), points);
            let json = serde_json::to_string(&Nano(nano)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Nano>(&json).unwrap(), Nano(nano));
        }

        #[test]
        fn unit_prices_round_trip(nano in 0..=i64::MAX) {
            let price = UnitPrice::from_nano_per_token(nano).unwrap();
            prop_assert_eq!(price.to_string().parse(), Ok(price));
            let json = serde_json::to_string(&price).unwrap();
            prop_assert_eq!(serde_json::from_str::<UnitPrice>(&json).unwrap(), price);
        }

        /// No trailing zero, no bare point, no exponent, no negative zero.
        #[test]
        fn points_print_in_one_way(nano: i64) {
            let text = Points::from_nano(nano).to_string();
            prop_assert!(!text.contains(['e', 'E', '+']));
            prop_assert!(!(text.contains('.') && text.ends_with(['0', '.'])));
            prop_assert_eq!(text.starts_with('-'), nano < 0);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            // Whatever is read prints as something that reads as the same amount.
            if let Ok(points) = text.parse::<Points>() {
                prop_assert_eq!(points.to_string().parse(), Ok(points));
            }
        }

        #[test]
        fn any_numeral_is_read_or_refused(text in "[-+]?[0-9]{0,25}\\.?[0-9]{0,15}([eE][-+]?[0-9]{1,5})?") {
            if let Ok(points) = text.parse::<Points>() {
                prop_assert_eq!(points.to_string().parse(), Ok(points));
            }
        }

        #[test]
        fn sums_are_exact_or_refused(left: i64, right: i64) {
            let (a, b) = (Points::from_nano(left), Points::from_nano(right));
            prop_assert_eq!(a.plus(b).ok().map(Points::nano), left.checked_add(right));
            prop_assert_eq!(a.minus(b).ok().map(Points::nano), left.checked_sub(right));
            prop_assert_eq!(Points::sum([a, b]), a.plus(b));
        }
    }
}
