//! Sources: where messages come from, and how each is treated.

use serde::{Deserialize, Serialize};

use crate::ids::ModelName;

/// Which way a source's messages come in. A key of a source opens this way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceEntrance {
    /// `POST /api/dify/webhook`.
    Webhook,
    /// `/v1/*`, in front of one app of Dify's Service API.
    Gateway,
    /// `/langfuse`, as the host in Dify's Monitoring settings.
    Langfuse,
    /// `/api/dify/guard`, as Dify's API-based extension.
    Guard,
    /// `/openai/v1/*`, behind Dify's OpenAI-compatible model provider.
    Openai,
}

impl SourceEntrance {
    pub const ALL: [Self; 5] = [
        Self::Webhook,
        Self::Gateway,
        Self::Langfuse,
        Self::Guard,
        Self::Openai,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Gateway => "gateway",
            Self::Langfuse => "langfuse",
            Self::Guard => "guard",
            Self::Openai => "openai",
        }
    }

    /// Whether calls of this source are passed on to a server behind it.
    #[must_use]
    pub const fn has_upstream(self) -> bool {
        matches!(self, Self::Gateway | Self::Openai)
    }
}

/// How the messages of a source are treated. What is absent is Tollgate's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceSettings {
    /// Where calls go, with its path and without a slash at the end: `https://dify.example.com/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_url: Option<String>,
    /// The model of an app that does not tell it (Dify's basic apps), and of calls to be estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_name: Option<ModelName>,
    /// What a call is expected to use before it runs; without them, what recent calls used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_output_tokens: Option<u64>,
    /// Let calls through when the gate cannot know whether they are affordable.
    pub is_fail_open: bool,
    /// Only protect the balance: what these calls use is charged through another source.
    pub is_protecting_only: bool,
    /// The app's input variable that names the end user, where Dify does not (guard).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_variable: Option<String>,
}
