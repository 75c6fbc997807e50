use crate::cli::ending::Ending;

/// Opening the ledger has already done it.
pub(super) fn run() -> Ending {
    Ending::ok("The database schema is up to date.")
}
