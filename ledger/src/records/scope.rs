//! What a key may do, and the entrance it opens.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use shared::source::SourceEntrance;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Ask for any user's points, and mint user tokens.
    Points,
    /// Everything an administrator may do over REST.
    Admin,
    /// Bring in what messages use, or ask for them, by this entrance.
    Entrance(SourceEntrance),
}

impl Scope {
    pub const ALL: [Self; 7] = [
        Self::Entrance(SourceEntrance::Webhook),
        Self::Points,
        Self::Admin,
        Self::Entrance(SourceEntrance::Gateway),
        Self::Entrance(SourceEntrance::Langfuse),
        Self::Entrance(SourceEntrance::Guard),
        Self::Entrance(SourceEntrance::Openai),
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Admin => "admin",
            Self::Entrance(entrance) => entrance.as_str(),
        }
    }

    /// The entrance that keys of this scope open; `None` for those of people and back ends.
    #[must_use]
    pub const fn entrance(self) -> Option<SourceEntrance> {
        match self {
            Self::Points | Self::Admin => None,
            Self::Entrance(entrance) => Some(entrance),
        }
    }

    /// The part of a key that tells people what it is for.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Points => "tg_pt_",
            Self::Admin => "tg_ad_",
            Self::Entrance(SourceEntrance::Webhook) => "tg_wh_",
            Self::Entrance(SourceEntrance::Gateway) => "tg_gw_",
            Self::Entrance(SourceEntrance::Langfuse) => "tg_lf_",
            Self::Entrance(SourceEntrance::Guard) => "tg_gd_",
            Self::Entrance(SourceEntrance::Openai) => "tg_oa_",
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("there is no scope {text}"))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
