//! What a call will cost, from the tokens it is expected to use.

use shared::api::{Estimate, EstimateBasis};
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::Points;
use shared::price::{PriceBook, Unpriced};
use shared::quote::quote;
use shared::tokens::Tokens;

use crate::error::refusal;

/// Why nobody can say what a call will cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EstimateRefusal {
    /// Its model has no price in force.
    Unpriced(Unpriced),
    /// Its model is not known, and no model has a price in force.
    NothingPriced,
    /// So many tokens cost more than an account can hold.
    TooManyTokens,
}

refusal!(EstimateRefusal, Unpriced(Unpriced));

/// The tokens a call is expected to use, and why.
pub(crate) struct ExpectedTokens {
    pub tokens: Tokens,
    pub basis: EstimateBasis,
}

impl ExpectedTokens {
    /// A given count replaces the whole side of the message that it counts.
    pub(crate) fn replace(&mut self, input_tokens: Option<u64>, output_tokens: Option<u64>) {
        if let Some(input) = input_tokens {
            self.tokens.input = input;
            self.tokens.cached_input = 0;
            self.tokens.cache_write = 0;
        }
        if let Some(output) = output_tokens {
            self.tokens.output = output;
            self.tokens.reasoning = 0;
        }
    }

    /// What they cost now.
    ///
    /// # Errors
    /// The model has no price in force, or the tokens are too many.
    pub(crate) fn estimate(
        &self,
        book: &PriceBook,
        model: &ModelName,
        now: Timestamp,
    ) -> Result<Estimate, EstimateRefusal> {
        let version = book.in_force(model, now)?;
        let quote =
            quote(&version.rates, &self.tokens).map_err(|_| EstimateRefusal::TooManyTokens)?;
        Ok(Estimate {
            model_name: version.model_name.clone(),
            input_tokens: self.tokens.all_input(),
            output_tokens: self.tokens.all_output(),
            basis: self.basis,
            estimated_points: quote.points,
            estimated_points_nano: quote.points.into(),
            per_request: quote.per_request,
            lines: quote.lines,
            price_version: version.version,
            price_version_id: version.id,
        })
    }
}

/// What a call costs that nobody knows the model of: the dearest one is the one that surely suffices.
///
/// # Errors
/// Nothing has a price in force.
pub(crate) fn dearest(
    book: &PriceBook,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Points, EstimateRefusal> {
    book.current(now)
        .filter_map(|version| book.in_force(&version.model_name, now).ok())
        .filter_map(|version| quote(&version.rates, tokens).ok())
        .map(|quote| quote.points)
        .max()
        .ok_or(EstimateRefusal::NothingPriced)
}

/// Average of whole numbers, rounded up so that an estimate errs on the safe side.
pub(crate) fn average(counts: &[u64]) -> u64 {
    let total: u128 = counts.iter().map(|count| u128::from(*count)).sum();
    let messages = u128::try_from(counts.len()).unwrap_or(1).max(1);
    u64::try_from(total.div_ceil(messages)).unwrap_or(u64::MAX)
}

/// The averages of some messages' tokens; none where there are none.
pub(crate) fn averages(samples: &[Tokens]) -> Option<Tokens> {
    let mean = |count: fn(&Tokens) -> u64| average(&samples.iter().map(count).collect::<Vec<_>>());
    (!samples.is_empty()).then(|| Tokens {
        input: mean(|tokens| tokens.input),
        cached_input: mean(|tokens| tokens.cached_input),
        cache_write: mean(|tokens| tokens.cache_write),
        output: mean(|tokens| tokens.output),
        reasoning: mean(|tokens| tokens.reasoning),
    })
}
