//! The `usage` object of an answer.

use serde::Deserialize;
use serde_json::Value;

use crate::tokens::Tokens;

/// The usage that a provider reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderUsage {
    pub tokens: Tokens,
    /// The provider's own sum.
    pub reported_total: Option<u64>,
}

#[derive(Deserialize)]
struct UsageFields {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<UsageFields> for ProviderUsage {
    /// The provider's counts contain each other; ours exclude each other.
    fn from(fields: UsageFields) -> Self {
        let prompt = fields.prompt_tokens.unwrap_or(0);
        let completion = fields.completion_tokens.unwrap_or(0);
        let cached = fields
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .or(fields.prompt_cache_hit_tokens)
            .unwrap_or(0)
            .min(prompt);
        let outside = fields
            .total_tokens
            .unwrap_or(0)
            .saturating_sub(prompt.saturating_add(completion));
        let inside = fields
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens)
            .unwrap_or(0)
            .min(completion);
        // Some compatible servers count thinking in the total only (Google, xAI), where it is paid
        // for all the same. OpenAI counts it in the completion.
        let (output, reasoning) = match outside {
            0 => (completion - inside, inside),
            outside => (completion, outside),
        };
        Self {
            tokens: Tokens {
                input: prompt - cached,
                cached_input: cached,
                cache_write: 0,
                output,
                reasoning,
            },
            reported_total: fields.total_tokens,
        }
    }
}

impl ProviderUsage {
    /// `None` where no usage is told: some servers send an empty object with every chunk.
    pub fn of(usage: &Value) -> Option<Self> {
        let fields = UsageFields::deserialize(usage).ok()?;
        fields.prompt_tokens.or(fields.total_tokens)?;
        Some(fields.into())
    }
}
