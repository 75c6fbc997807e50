//! How much of what was served has arrived.

use shared::api::arrived_share;

use crate::test;

#[test]
fn only_all_is_a_hundred_percent() {
    for (served, arrived, share) in [
        (3, 3, "100.0 %"),
        (3, 2, "66.6 %"),
        (1_000_000, 999_999, "99.9 %"),
        (1, 0, "0.0 %"),
        (0, 0, "100.0 %"),
        (u64::MAX, u64::MAX, "100.0 %"),
        (u64::MAX, u64::MAX - 1, "99.9 %"),
    ] {
        assert_eq!(
            arrived_share(served, arrived),
            share,
            "{arrived} of {served}"
        );
    }
}
