//! Names of requests that their sender may repeat.

use shared::ids::{IdError, checked_id};

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
    /// As for other names: 1 to 255 characters, none of control.
    pub fn new(caller: impl Into<String>, key: &str) -> Result<Self, IdError> {
        Ok(Self {
            caller: caller.into(),
            key: checked_id(key)?.to_owned(),
        })
    }
}
