//! Which price was in force when.

use shared::price::{PriceBook, PriceVersion, Unpriced};

use crate::test;
use crate::values::{at, model, version};

fn in_force(book: &PriceBook, name: &str, moment: &str) -> Result<i32, Unpriced> {
    book.in_force(&model(name), at(moment))
        .map(|version| version.version)
}

fn book() -> PriceBook {
    // In no particular order, as a database may return them.
    PriceBook::new([
        version("GPT-4", 3, Some("2024-03-01T00:00:00Z")),
        version("GPT-4", 1, None),
        version("GPT-4", 2, Some("2024-02-01T00:00:00Z")),
        PriceVersion {
            is_active: false,
            ..version("o1", 1, None)
        },
        version("later", 1, Some("2030-01-01T00:00:00Z")),
    ])
}

#[test]
fn a_version_is_found_by_its_number_and_without_one_it_is_the_newest() {
    let book = book();
    let number = |number| {
        let version = book.version(&model("gpt-4"), number);
        version.map(|version| version.version)
    };
    for (wanted, found) in [
        (None, Some(3)),
        (Some(1), Some(1)),
        (Some(2), Some(2)),
        (Some(4), None),
    ] {
        assert_eq!(number(wanted), found);
    }
    assert_eq!(book.version(&model("unknown"), None), None);
}

#[test]
fn the_latest_version_that_had_begun_is_in_force() {
    let book = book();
    for (moment, version) in [
        ("0001-01-01T00:00:00Z", 1),
        ("2024-01-31T23:59:59.999999Z", 1),
        ("2024-02-01T00:00:00Z", 2),
        ("2024-02-29T23:59:59Z", 2),
        ("2024-03-01T00:00:00Z", 3),
        ("2099-01-01T00:00:00Z", 3),
    ] {
        assert_eq!(in_force(&book, "GPT-4", moment), Ok(version), "{moment}");
    }
    assert_eq!(book.revision(), 3);
}

#[test]
fn model_names_are_compared_without_case() {
    let book = book();
    for name in ["gpt-4", "GPT-4", "Gpt-4", " gpt-4 "] {
        assert_eq!(
            in_force(&book, name, "2024-01-01T00:00:00Z"),
            Ok(1),
            "{name}"
        );
        assert_eq!(book.history(&model(name)).count(), 3);
    }
    assert_eq!(
        in_force(&book, "gpt-4o", "2024-01-01T00:00:00Z"),
        Err(Unpriced::UnknownModel)
    );
}

#[test]
fn an_inactive_version_keeps_messages_waiting() {
    let book = book();
    assert_eq!(
        in_force(&book, "o1", "2024-01-01T00:00:00Z"),
        Err(Unpriced::InactivePrice)
    );
}

#[test]
fn a_version_that_has_not_begun_is_not_in_force_but_shown() {
    let book = book();
    let now = "2024-06-01T00:00:00Z";
    assert_eq!(in_force(&book, "later", now), Err(Unpriced::UnknownModel));
    let current: Vec<_> = book
        .current(at(now))
        .map(|version| (version.model_name.as_str(), version.version))
        .collect();
    assert_eq!(current, [("GPT-4", 3), ("later", 1), ("o1", 1)]);
}

#[test]
fn of_versions_with_one_moment_the_higher_is_in_force() {
    let same = Some("2024-02-01T00:00:00Z");
    let book = PriceBook::new([
        version("m", 2, same),
        version("m", 3, same),
        version("m", 1, None),
    ]);
    assert_eq!(in_force(&book, "m", "2024-02-01T00:00:00Z"), Ok(3));
    let history: Vec<_> = book
        .history(&model("m"))
        .map(|version| version.version)
        .collect();
    assert_eq!(history, [3, 2, 1]);
}

#[test]
fn an_empty_book_knows_no_model() {
    let book = PriceBook::default();
    assert_eq!(
        in_force(&book, "m", "2024-01-01T00:00:00Z"),
        Err(Unpriced::UnknownModel)
    );
    assert_eq!(book.revision(), 0);
    assert_eq!(book.current(at("2024-01-01T00:00:00Z")).count(), 0);
}

/// A ledger sees by it that its book is the newest.
#[test]
fn a_book_is_as_new_as_its_newest_version() {
    assert_eq!(book().revision(), 3);
}

#[test]
fn versions_survive_json() {
    let version = version("GPT-4", 2, Some("2024-02-01T00:00:00Z"));
    let json = serde_json::to_string(&version).unwrap();
    assert_eq!(
        serde_json::from_str::<PriceVersion>(&json).unwrap(),
        version
    );
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;
    use shared::clock::Timestamp;
    use shared::price::{PriceBook, PriceVersion};

    use crate::values::{model, version};

    proptest! {
        /// Against the plain definition: of the versions that had begun, the last to begin.
        #[test]
        fn the_book_agrees_with_its_definition(
            starts in prop::collection::vec(prop::option::of(0..50_i64), 0..12),
            asked in -5..60_i64,
        ) {
            let versions: Vec<PriceVersion> = starts
                .iter()
                .zip(1..)
                .map(|(start, number)| PriceVersion {
                    effective_from: start.and_then(Timestamp::from_unix_seconds),
                    ..version("m", number, None)
                })
                .collect();
            let asked = Timestamp::from_unix_seconds(asked).unwrap();
            let expected = versions
                .iter()
                .filter(|version| version.effective_from.is_none_or(|from| from <= asked))
                .max_by_key(|version| (version.effective_from, version.version))
                .map(|version| version.version);
            let book = PriceBook::new(versions);
            prop_assert_eq!(
                book.in_force(&model("M"), asked).ok().map(|version| version.version),
                expected
            );
        }
    }
}
