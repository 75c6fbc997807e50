//! Counting tokens by category.

use shared::tokens::Tokens;

use crate::test;

const fn tokens(counts: [u64; 5]) -> Tokens {
    let [input, cached_input, cache_write, output, reasoning] = counts;
    Tokens {
        input,
        cached_input,
        cache_write,
        output,
        reasoning,
    }
}

#[test]
fn all_that_goes_in_and_all_that_comes_out_is_the_total() {
    let used = tokens([1, 20, 300, 4_000, 50_000]);
    assert_eq!((used.all_input(), used.all_output()), (321, 54_000));
    assert_eq!(used.total(), 54_321);
    let absurd = tokens([u64::MAX; 5]);
    assert_eq!((absurd.all_input(), absurd.total()), (u64::MAX, u64::MAX));
}

#[test]
fn categories_are_combined_each_with_its_own() {
    let (one, other) = (tokens([1, 9, 3, 7, 5]), tokens([6, 2, 8, 4, u64::MAX]));
    let sum = tokens([7, 11, 11, 11, u64::MAX]);
    assert_eq!(one.saturating_plus(other), sum);
    assert_eq!(one.saturating_minus(other), tokens([0, 7, 0, 3, 0]));
    assert_eq!(one.at_most(other), tokens([1, 2, 3, 4, 5]));
}

#[test]
fn what_is_beyond_others_is_what_the_totals_differ_by() {
    for (whole, known, beyond) in [
        ([100, 0, 0, 50, 0], [60, 0, 0, 20, 0], [40, 0, 0, 30, 0]),
        // The same tokens, told in another category, are not new.
        ([100, 0, 0, 50, 0], [150, 0, 0, 0, 0], [0; 5]),
        ([0, 0, 0, 50, 20], [60, 0, 0, 0, 0], [0, 0, 0, 10, 0]),
        ([10, 0, 0, 0, 0], [20, 0, 0, 0, 0], [0; 5]),
    ] {
        assert_eq!(tokens(whole).beyond(tokens(known)), tokens(beyond));
    }
}
