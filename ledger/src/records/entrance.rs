//! Which way a message came in.

use shared::usage::Party;

use crate::error::{Error, Result};

/// Which way a message came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entrance {
    Webhook,
    /// The settlement of a hold over REST.
    Settlement,
    /// What the gateway saw go by.
    Gateway,
    Langfuse,
    /// The OpenAI-compatible gateway, one message for each model call.
    Openai,
    /// What Dify had served and nobody had reported, charged after an administrator's review.
    Review,
}

impl Entrance {
    pub const ALL: [Self; 6] = [
        Self::Webhook,
        Self::Settlement,
        Self::Gateway,
        Self::Langfuse,
        Self::Openai,
        Self::Review,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Settlement => "settlement",
            Self::Gateway => "gateway",
            Self::Langfuse => "langfuse",
            Self::Openai => "openai",
            Self::Review => "review",
        }
    }

    /// Who is told by it. Webhook and settlement are both the operator's own systems.
    #[must_use]
    pub const fn party(self) -> Party {
        match self {
            Self::Webhook | Self::Settlement => Party::Operator,
            Self::Gateway => Party::Gateway,
            Self::Langfuse => Party::Traces,
            Self::Openai => Party::Models,
            Self::Review => Party::Review,
        }
    }

    /// Reads what is stored.
    pub(crate) fn stored(text: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|entrance| entrance.as_str() == text)
            .ok_or_else(|| Error::corrupt(format!("entrance {text}")))
    }
}
