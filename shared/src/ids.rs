//! Names that come from outside: users and models. Parsed once at the edge, trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    #[error("is empty")]
    Empty,
    #[error("is longer than {0} characters")]
    TooLong(u16),
    #[error("contains control characters")]
    ControlCharacter,
}

/// Longest user, model, message, conversation or request id, in characters.
pub const ID_CHARS_MAX: u16 = 255;

/// Trims a name from outside and bounds it.
///
/// # Errors
/// [`IdError`] names what is wrong.
pub fn checked_id(text: &str) -> Result<&str, IdError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.chars().count() > usize::from(ID_CHARS_MAX) {
        return Err(IdError::TooLong(ID_CHARS_MAX));
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::ControlCharacter);
    }
    Ok(text)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                checked_id(text).map(|text| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

id! {
    /// An end user, by the name the operator's own system gives them (Dify's `user`).
    UserId
}

id! {
    /// A model's name as people write it (`GPT-4`).
    ModelName
}

impl ModelName {
    /// The form in which names are compared: `GPT-4` and `gpt-4` are one model.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}
