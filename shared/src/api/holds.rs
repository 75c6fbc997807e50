//! Points promised to calls.

use serde::{Deserialize, Serialize};

use super::fields::{optional, required, usual};
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::{Nano, Points};

/// Life of a hold, in seconds.
pub const HOLD_SECONDS_DEFAULT: u32 = 600;
pub const HOLD_SECONDS_MAX: u32 = 86_400;

/// What became of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    Open,
    Settled,
    Released,
    Expired,
}

impl HoldStatus {
    pub const ALL: [Self; 4] = [Self::Open, Self::Settled, Self::Released, Self::Expired];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settled => "settled",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// Points promised to one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub hold_id: String,
    pub status: HoldStatus,
    /// Absent for an app whose model is not known beforehand.
    pub model_name: Option<ModelName>,
    pub points: Points,
    pub points_nano: Nano,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What the call of a hold really used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettleHold {
    /// The held model unless told.
    #[serde(default, deserialize_with = "optional")]
    pub model_name: Option<ModelName>,
    #[serde(deserialize_with = "required")]
    pub input_tokens: u64,
    #[serde(deserialize_with = "required")]
    pub output_tokens: u64,
    #[serde(default, deserialize_with = "usual")]
    pub cached_input_tokens: u64,
    #[serde(default, deserialize_with = "usual")]
    pub cache_write_tokens: u64,
    #[serde(default, deserialize_with = "usual")]
    pub reasoning_tokens: u64,
    /// Dify's message id, so that other entrances recognise the message; the hold's own unless told.
    #[serde(default, deserialize_with = "optional")]
    pub message_id: Option<String>,
    /// Whom a key or an administrator asks for.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<UserId>,
}

/// Whose hold is to be released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseHold {
    /// Whom a key or an administrator asks for.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<UserId>,
}
