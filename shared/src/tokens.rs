//! Token counts, in categories that exclude each other.

use serde::{Deserialize, Serialize};

/// What kind of token is counted. The categories are **exclusive**: a token is in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Category {
    Input,
    CachedInput,
    CacheWrite,
    Output,
    Reasoning,
}

impl Category {
    pub const ALL: [Self; 5] = [
        Self::Input,
        Self::CachedInput,
        Self::CacheWrite,
        Self::Output,
        Self::Reasoning,
    ];

    /// The category whose price is used where this one has none.
    #[must_use]
    pub const fn parent(self) -> Self {
        match self {
            Self::Input | Self::CachedInput | Self::CacheWrite => Self::Input,
            Self::Output | Self::Reasoning => Self::Output,
        }
    }
}

/// Tokens of one model call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Tokens {
    pub input: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_input: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    pub output: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning: u64,
}

/// Takes a reference because serde passes one.
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Tokens {
    #[must_use]
    pub const fn new(input: u64, output: u64) -> Self {
        Self {
            input,
            cached_input: 0,
            cache_write: 0,
            output,
            reasoning: 0,
        }
    }

    #[must_use]
    pub const fn of(&self, category: Category) -> u64 {
        match category {
            Category::Input => self.input,
            Category::CachedInput => self.cached_input,
            Category::CacheWrite => self.cache_write,
            Category::Output => self.output,
            Category::Reasoning => self.reasoning,
        }
    }

    /// All that went in.
    #[must_use]
    pub const fn all_input(&self) -> u64 {
        self.input
            .saturating_add(self.cached_input)
            .saturating_add(self.cache_write)
    }

    /// All that came out.
    #[must_use]
    pub const fn all_output(&self) -> u64 {
        self.output.saturating_add(self.reasoning)
    }

    /// Category by category.
    #[must_use]
    pub fn saturating_plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// Category by category.
    #[must_use]
    pub fn saturating_minus(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    /// What of these is beyond `other`: as many as the totals differ by, wherever they are counted.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        let mut left = self.total().saturating_sub(other.total());
        self.each(other, |count, known| {
            let beyond = count.saturating_sub(known).min(left);
            left -= beyond;
            beyond
        })
    }

    /// Category by category, no more than `other`.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        self.each(other, u64::min)
    }

    /// Category by category, in their order.
    #[must_use]
    pub fn map(self, mut count: impl FnMut(u64) -> u64) -> Self {
        self.each(self, |this, _| count(this))
    }

    fn each(self, other: Self, mut combine: impl FnMut(u64, u64) -> u64) -> Self {
        Self {
            input: combine(self.input, other.input),
            cached_input: combine(self.cached_input, other.cached_input),
            cache_write: combine(self.cache_write, other.cache_write),
            output: combine(self.output, other.output),
            reasoning: combine(self.reasoning, other.reasoning),
        }
    }

    /// All tokens together; saturates, so that an absurd report stays absurd instead of wrapping.
    #[must_use]
    pub fn total(&self) -> u64 {
        Category::ALL.iter().fold(0, |sum: u64, category| {
            sum.saturating_add(self.of(*category))
        })
    }
}
