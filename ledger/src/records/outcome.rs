use shared::api::Outcome;

use crate::error::{Error, Result};

/// Reads an outcome as deliveries are stored with it.
pub(crate) fn outcome(text: &str) -> Result<Outcome> {
    Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("outcome {text}")))
}
