//! What a key may do, and the entrance it opens.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use shared::source::SourceEntrance;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Report what messages used.
    Webhook,
    /// Ask for any user's points, and mint user tokens.
    Points,
    /// Everything an administrator may do over REST.
    Admin,
    /// Call Dify's Service API through the gateway.
    Gateway,
    /// Deliver traces.
    Langfuse,
    /// Ask whether a message may pass.
    Guard,
    /// Call models through the OpenAI-compatible gateway.
    Openai,
}

impl Scope {
    pub const ALL: [Self; 7] = [
        Self::Webhook,
        Self::Points,
        Self::Admin,
        Self::Gateway,
        Self::Langfuse,
        Self::Guard,
        Self::Openai,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Points => "points",
            Self::Admin => "admin",
            Self::Gateway => "gateway",
            Self::Langfuse => "langfuse",
            Self::Guard => "guard",
            Self::Openai => "openai",
        }
    }

    /// The entrance that keys of this scope open; `None` for those of people and back ends.
    #[must_use]
    pub const fn entrance(self) -> Option<SourceEntrance> {
        match self {
            Self::Points | Self::Admin => None,
            Self::Webhook => Some(SourceEntrance::Webhook),
            Self::Gateway => Some(SourceEntrance::Gateway),
            Self::Langfuse => Some(SourceEntrance::Langfuse),
            Self::Guard => Some(SourceEntrance::Guard),
            Self::Openai => Some(SourceEntrance::Openai),
        }
    }

    /// The part of a key that tells people what it is for.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Webhook => "tg_wh_",
            Self::Points => "tg_pt_",
            Self::Admin => "tg_ad_",
            Self::Gateway => "tg_gw_",
            Self::Langfuse => "tg_lf_",
            Self::Guard => "tg_gd_",
            Self::Openai => "tg_oa_",
        }
    }
}

impl From<SourceEntrance> for Scope {
    fn from(entrance: SourceEntrance) -> Self {
        match entrance {
            SourceEntrance::Webhook => Self::Webhook,
            SourceEntrance::Gateway => Self::Gateway,
            SourceEntrance::Langfuse => Self::Langfuse,
            SourceEntrance::Guard => Self::Guard,
            SourceEntrance::Openai => Self::Openai,
        }
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
