//! Moments.

use shared::clock::{NotATime, Timestamp};

use crate::test;
use crate::values::at;

#[test]
fn moments_are_read_in_any_offset_and_printed_in_utc() {
    for (text, printed) in [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z"),
        (" 2024-01-15T10:30:00Z ", "2024-01-15T10:30:00Z"),
        ("2024-01-15T18:30:00+08:00", "2024-01-15T10:30:00Z"),
        ("2024-01-15T10:30:00.25Z", "2024-01-15T10:30:00.25Z"),
        // Below the microsecond nothing is kept, because Postgres keeps nothing there.
        (
            "2024-01-15T10:30:00.123456789Z",
            "2024-01-15T10:30:00.123456Z",
        ),
    ] {
        assert_eq!(at(text).to_string(), printed, "{text}");
    }
    for text in [
        "",
        "yesterday",
        "2024-01-15",
        "2024-01-15T10:30:00",
        "1705314600",
    ] {
        assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text:?}");
    }
}

#[test]
fn moments_in_json_are_cut_to_the_microsecond_too() {
    let read: Timestamp = serde_json::from_str("\"2024-01-15T18:30:00.123456789+08:00\"").unwrap();
    assert_eq!(read, at("2024-01-15T10:30:00.123456Z"));
    assert_eq!(
        serde_json::to_string(&read).unwrap(),
        "\"2024-01-15T10:30:00.123456Z\""
    );
}

/// RFC 3339 has four digits for the year, so other moments could never be shown.
#[test]
fn moments_that_cannot_be_written_are_refused() {
    for text in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"] {
        assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text}");
        let json = format!("\"{text}\"");
        assert!(serde_json::from_str::<Timestamp>(&json).is_err(), "{text}");
    }
    assert_eq!(
        Timestamp::from_unix_seconds(-62_167_219_200),
        Some(at("0000-01-01T00:00:00Z"))
    );
    assert_eq!(Timestamp::from_unix_seconds(-62_167_219_201), None);
    assert_eq!(Timestamp::from_unix_micros(-62_167_219_200_000_001), None);
}

#[test]
fn unix_time_is_in_utc() {
    assert_eq!(
        Timestamp::from_unix_seconds(1_705_314_600),
        Some(at("2024-01-15T10:30:00Z"))
    );
    assert_eq!(Timestamp::from_unix_seconds(i64::MAX), None);
    assert_eq!(Timestamp::from_unix_micros(i64::MIN), None);
    assert_eq!(at("1970-01-01T00:00:00.000001Z").unix_micros(), 1);
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;
    use shared::clock::Timestamp;

    /// The years 1 to 9999, which RFC 3339 can write.
    const MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

    proptest! {
        #[test]
        fn moments_round_trip(micros in MICROS) {
            let moment = Timestamp::from_unix_micros(micros).unwrap();
            prop_assert_eq!(moment.unix_micros(), micros);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
            let json = serde_json::to_string(&moment).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
        }

        #[test]
        fn moments_are_ordered_as_their_numbers(a in MICROS, b in MICROS) {
            let moment = |micros| Timestamp::from_unix_micros(micros).unwrap();
            prop_assert_eq!(moment(a).cmp(&moment(b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_a_moment_or_refused(text in ".{0,40}") {
            if let Ok(moment) = text.parse::<Timestamp>() {
                prop_assert_eq!(moment.to_string().parse(), Ok(moment));
            }
        }
    }
}
