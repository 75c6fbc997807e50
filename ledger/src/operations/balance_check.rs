//! Before the call: is there enough, and a hold for it.

use futures::future::try_join;
use shared::api::{BalanceCheck, CheckBalance, HOLD_SECONDS_DEFAULT, Hold};
use shared::ids::UserId;
use shared::money::Points;
use shared::quote::affordable_output;

use crate::error::{Attempt, OperationError};
use crate::operations::call_check::CheckRefusal;
use crate::operations::hold::{self, HoldRefusal, NewHold};
use crate::operations::idempotency;
use crate::operations::ledger::Ledger;
use crate::process::account_reader::AccountSnapshot;
use crate::records::account;
use crate::records::estimate::{EstimateRefusal, ExpectedTokens};
use crate::records::idempotency_key::IdempotencyKey;

impl Ledger {
    /// Whether a call is affordable, and what would be.
    ///
    /// # Errors
    /// As [`Ledger::estimate`]: what has no price is not let through. A hold would last too long.
    pub async fn check_balance(
        &self,
        user: &UserId,
        check: &CheckBalance,
    ) -> Attempt<BalanceCheck, CheckRefusal> {
        self.check_balance_once(user, check, None).await
    }

    /// As [`Ledger::check_balance`]; once a hold was made, the same key again gives the first answer
    /// again, whatever became of the hold.
    ///
    /// # Errors
    /// Also that the key was used for something else.
    pub async fn check_balance_once(
        &self,
        user: &UserId,
        check: &CheckBalance,
        key: Option<&IdempotencyKey>,
    ) -> Attempt<BalanceCheck, CheckRefusal> {
        // The first answer, also where this one would be another.
        let recall = async || {
            let fingerprint = hold::fingerprint(user, check);
            let first = Box::pin(idempotency::recall(self.pool(), key, &fingerprint)).await;
            first.map_err(OperationError::widen::<HoldRefusal>)
        };
        if check.hold
            && key.is_some()
            && let Some(first) = recall().await.map_err(OperationError::widen)?
        {
            return Ok(first);
        }
        let (input, output) = (check.estimated_input_tokens, check.estimated_output_tokens);
        let (account, expected) = try_join(
            self.snapshot(Some(user)),
            self.expected_tokens(Some(user), &check.model_name, input, output),
        )
        .await?;
        let answer = answer(user, check, &account, &expected).map_err(OperationError::widen)?;
        if !check.hold {
            return Ok(answer);
        }
        if answer.can_proceed {
            let new = NewHold {
                user,
                model_name: Some(&check.model_name),
                points: answer.estimate.estimated_points,
                seconds: check.hold_seconds.unwrap_or(HOLD_SECONDS_DEFAULT),
                once: key.map(|key| (key, hold::fingerprint(user, check))),
                is_told: true,
            };
            // Boxed, as what follows: most checks ask for no hold, and need not carry it.
            let hold = self.hold(&new, |hold| completed(answer, hold));
            return Box::pin(hold).await.map_err(OperationError::widen);
        }
        // What is missing may be missing because the first request has taken it meanwhile.
        Ok(recall()
            .await
            .map_err(OperationError::widen)?
            .unwrap_or(answer))
    }
}

/// What a check says while no hold is asked for.
fn answer(
    user: &UserId,
    check: &CheckBalance,
    account: &AccountSnapshot,
    expected: &ExpectedTokens,
) -> Attempt<BalanceCheck, EstimateRefusal> {
    let estimate = expected.estimate(&account.book, &check.model_name, account.now)?;
    let balance = account::balance(user, account.amounts, Vec::new())?;
    let usable = account.amounts.usable()?;
    let shortfall = account.amounts.shortfall(estimate.estimated_points)?;
    let rates = account
        .book
        .in_force(&check.model_name, account.now)
        .map(|version| version.rates)
        .map_err(EstimateRefusal::Unpriced)?;
    Ok(BalanceCheck {
        can_proceed: shortfall.is_zero(),
        balance: balance.balance,
        balance_nano: balance.balance_nano,
        held: balance.held,
        held_nano: balance.held_nano,
        available: balance.available,
        available_nano: balance.available_nano,
        shortfall,
        shortfall_nano: shortfall.into(),
        affordable_calls: affordable_calls(usable, estimate.estimated_points),
        affordable_output_tokens: affordable_output(&rates, &expected.tokens, usable)
            .map_or(Some(0), |tokens| (tokens < u64::MAX).then_some(tokens)),
        estimate,
        hold_id: None,
        expires_at: None,
    })
}

/// With the hold that was asked for; there was not enough left for it where there is none.
fn completed(mut answer: BalanceCheck, hold: Option<Hold>) -> BalanceCheck {
    if let Some(hold) = hold {
        answer.hold_id = Some(hold.hold_id);
        answer.expires_at = Some(hold.expires_at);
    } else {
        answer.can_proceed = false;
        answer.shortfall = Points::from_nano(1).max(answer.shortfall);
        answer.shortfall_nano = answer.shortfall.into();
    }
    answer
}

fn affordable_calls(available: Points, call: Points) -> Option<u64> {
    if call.is_zero() {
        return None;
    }
    Some(u64::try_from(available.nano() / call.nano()).unwrap_or(0))
}
