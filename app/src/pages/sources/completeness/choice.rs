//! What can be chosen of what is missing.

use leptos::prelude::*;
use shared::api::ServedMessage;

/// A message that is missing, and whether it is to be charged.
#[derive(Clone)]
pub struct MissingChoice {
    pub message: ServedMessage,
    pub is_picked: RwSignal<bool>,
}

impl MissingChoice {
    /// What Dify tells no tokens of has no cost.
    pub fn can_be_charged(&self) -> bool {
        self.message.input_tokens.is_some()
    }
}
