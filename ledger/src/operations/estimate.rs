//! Before the call: what will it cost?

use futures::future::try_join;
use shared::api::{DEFAULT_TOKENS, Estimate, EstimateBasis};
use shared::ids::{ModelName, UserId};
use shared::tokens::Tokens;

use crate::error::{Attempt, Result};
use crate::operations::ledger::Ledger;
use crate::records::estimate::{EstimateRefusal, ExpectedTokens, averages};
use crate::records::hash::account_id;
use crate::store::recorded_usage;

impl Ledger {
    /// What a call would cost now. Token counts that are not given come from the user's recent
    /// messages with the model, else from everybody's, else from a default; the answer says which.
    ///
    /// # Errors
    /// The model has no price in force, or the tokens are too many.
    pub async fn estimate(
        &self,
        user: Option<&UserId>,
        model: &ModelName,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
    ) -> Attempt<Estimate, EstimateRefusal> {
        let (account, expected) = try_join(
            self.snapshot(user),
            self.expected_tokens(user, model, input_tokens, output_tokens),
        )
        .await?;
        Ok(expected.estimate(&account.book, model, account.now)?)
    }

    pub(crate) async fn expected_tokens(
        &self,
        user: Option<&UserId>,
        model: &ModelName,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
    ) -> Result<ExpectedTokens> {
        if let (Some(input), Some(output)) = (input_tokens, output_tokens) {
            return Ok(ExpectedTokens {
                tokens: Tokens::new(input, output),
                basis: EstimateBasis::Request,
            });
        }
        let mut expected = Box::pin(self.usual_tokens(user, model)).await?;
        expected.replace(input_tokens, output_tokens);
        Ok(expected)
    }

    async fn usual_tokens(
        &self,
        user: Option<&UserId>,
        model: &ModelName,
    ) -> Result<ExpectedTokens> {
        if let Some(user) = user {
            let account_id = account_id(user);
            let own = recorded_usage::recent_of_account(self.pool(), account_id, model).await?;
            if let Some(tokens) = averages(&own) {
                return Ok(ExpectedTokens {
                    tokens,
                    basis: EstimateBasis::UserHistory,
                });
            }
        }
        let all = recorded_usage::recent_of_model(self.pool(), model).await?;
        let (tokens, basis) = match averages(&all) {
            Some(tokens) => (tokens, EstimateBasis::ModelHistory),
            None => (DEFAULT_TOKENS, EstimateBasis::Default),
        };
        Ok(ExpectedTokens { tokens, basis })
    }
}
