//! What can go wrong at an edge: one list, with the status and the code for each. Codes never change.
//! The words are `app::text::problem`'s.

use serde::{Deserialize, Serialize};

use crate::ids::IdError;
use crate::money::AmountError;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldFault {
    Missing,
    NotText,
    Empty,
    TooLong {
        max: u16,
    },
    ControlCharacter,
    /// Tokens and the like: a JSON integer from 0 up.
    NotACount,
    NotANumber,
    Negative,
    TooPrecise {
        decimals: u8,
    },
    TooLarge,
    NotATime,
    NotPositive,
    InThePast,
    /// Of two moments the second is not the later one.
    NotLater {
        than: String,
    },
    /// The value is none of those allowed.
    NotOneOf {
        allowed: String,
    },
    /// No price is published for this model.
    NotPriced,
    /// The model's price is switched off.
    PriceInactive,
    NotACursor,
    OutOfRange {
        min: u32,
        max: u32,
    },
    TooShort {
        min: u16,
    },
    Taken,
    /// No such parameter or field here.
    Unknown,
}

impl From<IdError> for FieldFault {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Empty => Self::Empty,
            IdError::TooLong(max) => Self::TooLong { max },
            IdError::ControlCharacter => Self::ControlCharacter,
        }
    }
}

impl From<AmountError> for FieldFault {
    fn from(error: AmountError) -> Self {
        match error {
            AmountError::Empty => Self::Empty,
            AmountError::NotANumber => Self::NotANumber,
            AmountError::TooPrecise(decimals) => Self::TooPrecise { decimals },
            AmountError::TooLarge => Self::TooLarge,
            AmountError::Negative => Self::Negative,
        }
    }
}

/// Everything a caller can be told, beside success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    InvalidJson {
        detail: String,
    },
    MissingKey,
    InvalidKey,
    MissingSignature,
    InvalidSignature,
    StaleTimestamp,
    SignInRequired,
    WrongPassword,
    LinkExpired,
    WrongScope {
        needed: String,
    },
    CrossSite,
    /// A user's own token names somebody else.
    OtherUser,
    NotFound,
    MethodNotAllowed,
    /// The same message was delivered before, with other numbers.
    MessageConflict {
        message_id: String,
    },
    /// An idempotency key was used before, for another request.
    KeyReused,
    /// Somebody else changed the same thing meanwhile.
    Outdated,
    TooLarge {
        bytes_max: u32,
    },
    InvalidField {
        field: String,
        fault: FieldFault,
    },
    RateLimited {
        retry_after_seconds: u32,
    },
    Busy {
        retry_after_seconds: u32,
    },
    Internal,
}

impl Problem {
    #[must_use]
    pub fn field(field: impl Into<String>, fault: impl Into<FieldFault>) -> Self {
        Self::InvalidField {
            field: field.into(),
            fault: fault.into(),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidJson { .. } => 400,
            Self::MissingKey
            | Self::InvalidKey
            | Self::MissingSignature
            | Self::InvalidSignature
            | Self::StaleTimestamp
            | Self::SignInRequired
            | Self::WrongPassword
            | Self::LinkExpired => 401,
            Self::WrongScope { .. } | Self::CrossSite | Self::OtherUser => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::MessageConflict { .. } | Self::KeyReused | Self::Outdated => 409,
            Self::TooLarge { .. } => 413,
            Self::InvalidField { .. } => 422,
            Self::RateLimited { .. } => 429,
            Self::Internal => 500,
            Self::Busy { .. } => 503,
        }
    }

    /// The stable, machine-readable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson { .. } => "invalid_json",
            Self::MissingKey => "missing_key",
            Self::InvalidKey => "invalid_key",
            Self::MissingSignature => "missing_signature",
            Self::InvalidSignature => "invalid_signature",
            Self::StaleTimestamp => "stale_timestamp",
            Self::SignInRequired => "sign_in_required",
            Self::WrongPassword => "wrong_password",
            Self::LinkExpired => "link_expired",
            Self::WrongScope { .. } => "wrong_scope",
            Self::CrossSite => "cross_site",
            Self::OtherUser => "other_user",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MessageConflict { .. } => "message_conflict",
            Self::KeyReused => "idempotency_key_reused",
            Self::Outdated => "outdated",
            Self::TooLarge { .. } => "payload_too_large",
            Self::InvalidField { fault, .. } => match fault {
                FieldFault::NotPriced => "model_not_priced",
                FieldFault::PriceInactive => "price_inactive",
                _ => "invalid_field",
            },
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy { .. } => "busy",
            Self::Internal => "internal",
        }
    }

    /// The field at fault, as a path into the request (`data.input_tokens`).
    #[must_use]
    pub fn field_name(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            _ => None,
        }
    }

    /// Seconds to wait before trying again, for `Retry-After`.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::RateLimited {
                retry_after_seconds,
            }
            | Self::Busy {
                retry_after_seconds,
            } => Some(*retry_after_seconds),
            _ => None,
        }
    }
}
