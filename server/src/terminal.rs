//! What a person at a terminal sees.

use std::io::{self, Write};

/// Prints to standard output. Whoever closes it early (`| head`) has seen enough.
pub fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

/// Prints to standard error.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
