//! Where tests may write.

use std::fs;
use std::path::PathBuf;

/// `target/tmp`, which Cargo keeps for tests. It names it only to the tests themselves, but they run
/// from `target/debug/deps`.
pub(crate) fn of_all_tests() -> PathBuf {
    let program = std::env::current_exe().expect("the program of the tests");
    let target = program.ancestors().nth(3).expect("a target folder");
    target.join("tmp")
}

/// A folder of this test's own, empty.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    let folder = of_all_tests()
        .join("data")
        .join(format!("{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}
