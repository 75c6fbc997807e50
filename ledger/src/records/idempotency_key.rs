//! Names of requests that their sender may repeat.

use shared::ids::checked_id;
use shared::problem::Problem;

/// What a sender calls one request, to recognise its repetitions by.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    pub(crate) caller: String,
    pub(crate) key: String,
}

impl IdempotencyKey {
    /// `caller` keeps the keys of two senders apart.
    ///
    /// # Errors
    /// A field problem for `Idempotency-Key`: as other names, 1 to 255 characters, none of control.
    pub fn new(caller: impl Into<String>, key: &str) -> Result<Self, Problem> {
        Ok(Self {
            caller: caller.into(),
            key: checked_id(key)
                .map_err(|fault| Problem::field("Idempotency-Key", fault))?
                .to_owned(),
        })
    }
}
