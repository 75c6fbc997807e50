//! Before a call through a source: what will it cost, is there enough, and a hold for it.

use futures::future::try_join;
use shared::api::DEFAULT_TOKENS;
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use shared::tokens::Tokens;

use crate::error::{Attempt, OperationError, Result, refusal};
use crate::operations::hold::{HoldRefusal, NewHold};
use crate::operations::ledger::Ledger;
use crate::process::account_reader::AccountSnapshot;
use crate::records::api_key::ApiKey;
use crate::records::call_check::{CallCheck, CallEstimate};
use crate::records::estimate::{EstimateRefusal, ExpectedTokens, average, dearest};
use crate::records::hash::account_id;
use crate::store::recorded_usage;

/// Why nobody can say whether a call may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckRefusal {
    Estimate(EstimateRefusal),
    Hold(HoldRefusal),
}

refusal!(CheckRefusal, Estimate(EstimateRefusal), Hold(HoldRefusal));

impl Ledger {
    /// Estimates a call of a user through a source, checks it against the balance, and holds its
    /// points when that is asked for. Such a hold is for this process: who tells its id to anybody
    /// else promises what a crash of Postgres' machine may forget.
    ///
    /// # Errors
    /// The call's model has no price in force, or nothing has; as of an estimate and of a hold.
    pub async fn check_call(
        &self,
        user: &UserId,
        source: &ApiKey,
        call: &CallEstimate,
    ) -> Attempt<CallCheck, CheckRefusal> {
        let model = call
            .model_name
            .as_ref()
            .or(source.settings.model_name.as_ref());
        let (account, expected) = try_join(
            self.snapshot(Some(user)),
            self.expected_use(user, source, call, model),
        )
        .await?;
        let points = expected.points(&account)?;
        let shortfall = account.amounts.shortfall(points)?;
        let check = CallCheck {
            can_proceed: shortfall.is_zero(),
            estimated_points: points,
            balance: Points::from_nano(account.amounts.balance_nano),
            available: account.amounts.available()?,
            shortfall,
            hold_id: None,
        };
        let Some(seconds) = call.hold_seconds.filter(|_| check.can_proceed) else {
            return Ok(check);
        };
        let new = NewHold {
            user,
            model_name: model,
            points,
            seconds,
            once: None,
            is_told: false,
        };
        let hold = self.hold(&new, |hold| check.completed(hold)).await;
        hold.map_err(OperationError::widen)
    }

    async fn expected_use<'a>(
        &self,
        user: &UserId,
        source: &ApiKey,
        call: &CallEstimate,
        model: Option<&'a ModelName>,
    ) -> Result<ExpectedUse<'a>> {
        let settings = &source.settings;
        let input = call.input_tokens.or(settings.estimated_input_tokens);
        let output = call.output_tokens.or(settings.estimated_output_tokens);
        if let Some(model) = model {
            let expected = self.expected_tokens(Some(user), model, input, output);
            let mut expected = expected.await?;
            expected.tokens.input = expected.tokens.input.max(call.asked_tokens);
            return Ok(ExpectedUse::Tokens(model, expected));
        }
        if input.is_none()
            && output.is_none()
            && let Some(points) = self.usual_charge(user, source).await?
        {
            return Ok(ExpectedUse::Points(points));
        }
        Ok(ExpectedUse::TokensOfAnyModel(Tokens::new(
            input.unwrap_or(DEFAULT_TOKENS.input).max(call.asked_tokens),
            output.unwrap_or(DEFAULT_TOKENS.output),
        )))
    }

    /// What usually goes into one model call of a user through a source: on average of what was told
    /// lately of the user's calls, else of everybody's, else by the source's settings; 0 where nobody
    /// knows. What was only estimated does not count: it would raise itself.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn usual_input(&self, user: &UserId, source: &ApiKey) -> Result<u64> {
        for account in [Some(account_id(user)), None] {
            let calls = recorded_usage::recently_measured(self.pool(), source, account).await?;
            if !calls.is_empty() {
                let inputs: Vec<_> = calls.iter().map(Tokens::all_input).collect();
                return Ok(average(&inputs));
            }
        }
        Ok(source.settings.estimated_input_tokens.unwrap_or(0))
    }

    /// What messages of this source cost lately: the user's, or else everybody's.
    async fn usual_charge(&self, user: &UserId, source: &ApiKey) -> Result<Option<Points>> {
        let usual = recorded_usage::usual_charge(self.pool(), source, account_id(user)).await?;
        let nano = usual.own_nano.or(usual.any_user_nano);
        Ok(nano.map(Points::from_nano))
    }
}

/// What a call is expected to use.
enum ExpectedUse<'a> {
    Tokens(&'a ModelName, ExpectedTokens),
    Points(Points),
    /// Nobody knows the model.
    TokensOfAnyModel(Tokens),
}

impl ExpectedUse<'_> {
    fn points(&self, account: &AccountSnapshot) -> std::result::Result<Points, EstimateRefusal> {
        let (book, now) = (&account.book, account.now);
        Ok(match self {
            Self::Points(points) => *points,
            Self::Tokens(model, tokens) => tokens.estimate(book, model, now)?.estimated_points,
            Self::TokensOfAnyModel(tokens) => dearest(book, tokens, now)?,
        })
    }
}
