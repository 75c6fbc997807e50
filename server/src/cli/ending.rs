//! How a command ends.

use anyhow::{Result, anyhow};
use app::Explain;
use app::text::InWords;
use shared::locale::Locale;

/// What a command says at its end.
pub(super) struct Ending {
    pub(super) text: String,
    pub(super) is_ok: bool,
}

impl Ending {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_ok: true,
        }
    }

    pub(super) fn json(value: &impl serde::Serialize) -> Result<Self> {
        Ok(Self::ok(serde_json::to_string(value)?))
    }
}

/// What the ledger says, for a person at a terminal: its causes too, where it is nobody's choice.
pub(super) fn in_words(error: impl Explain) -> anyhow::Error {
    let problem = error.problem();
    error
        .cause()
        .map_or_else(|| anyhow!(problem.message(Locale::En)), anyhow::Error::from)
}

/// An error with its causes. Some errors repeat their cause in their own words already.
pub(super) fn on_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow!("refused")
            .context("database: refused")
            .context("no answer");
        assert_eq!(on_one_line(&error), "no answer: database: refused");
    }
}
