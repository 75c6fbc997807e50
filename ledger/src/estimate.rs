//! Before the call: what will it cost, and is there enough?

use futures::future::try_join;
use shared::api::{
    BalanceCheck, CheckBalance, DEFAULT_TOKENS, Estimate, EstimateBasis, HOLD_SECONDS_DEFAULT, Hold,
};
use shared::clock::Timestamp;
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use shared::price::{PriceBook, Unpriced};
use shared::problem::{FieldFault, Problem};
use shared::quote::{affordable_output, quote};
use shared::tokens::Tokens;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use crate::accounts;
use crate::consumption::Line;
use crate::error::Result;
use crate::holds::NewHold;
use crate::{IdempotencyKey, Ledger, chain, holds, idempotency};

/// Messages averaged at most, and rows looked through to find them.
pub(crate) const SAMPLE_MESSAGES: i64 = 20;
const USER_ROWS_MAX: i64 = 200;
const DELIVERY_ROWS_MAX: i64 = 1000;

/// Average of whole numbers, rounded up so that an estimate errs on the safe side.
pub(crate) fn average(counts: &[u64]) -> u64 {
    let total: u128 = counts.iter().map(|count| u128::from(*count)).sum();
    let messages = u128::try_from(counts.len()).unwrap_or(1).max(1);
    u64::try_from(total.div_ceil(messages)).unwrap_or(u64::MAX)
}

fn averages(samples: &[Tokens]) -> Option<Tokens> {
    let mean = |count: fn(&Tokens) -> u64| average(&samples.iter().map(count).collect::<Vec<_>>());
    (!samples.is_empty()).then(|| Tokens {
        input: mean(|tokens| tokens.input),
        cached_input: mean(|tokens| tokens.cached_input),
        cache_write: mean(|tokens| tokens.cache_write),
        output: mean(|tokens| tokens.output),
        reasoning: mean(|tokens| tokens.reasoning),
    })
}

pub(crate) struct Basis {
    pub tokens: Tokens,
    basis: EstimateBasis,
}

impl Ledger {
    /// What a call would cost now. Token counts that are not given come from the user's recent
    /// messages with the model, else from everybody's, else from a default; the answer says which.
    ///
    /// # Errors
    /// Field problems of `modelName` when the model has no price in force.
    pub async fn estimate(
        &self,
        user: Option<&UserId>,
        model: &ModelName,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
    ) -> Result<Estimate> {
        let (state, basis) = try_join(
            self.state_of(user),
            self.basis(user, model, input_tokens, output_tokens),
        )
        .await?;
        estimate(&state.book, model, &basis, state.now)
    }

    /// Whether a call is affordable, and what would be.
    ///
    /// # Errors
    /// As [`Ledger::estimate`]: what has no price is not let through.
    pub async fn check_balance(&self, user: &UserId, check: &CheckBalance) -> Result<BalanceCheck> {
        self.check_balance_once(user, check, None).await
    }

    /// As [`Ledger::check_balance`]; once a hold was made, the same key again gives the first answer
    /// again, whatever became of the hold.
    ///
    /// # Errors
    /// Also `KeyReused`.
    pub async fn check_balance_once(
        &self,
        user: &UserId,
        check: &CheckBalance,
        key: Option<&IdempotencyKey>,
    ) -> Result<BalanceCheck> {
        // The first answer, also where this one would be another.
        let recall = async || {
            let fingerprint = holds::fingerprint(user, check);
            Box::pin(idempotency::recall(self.pool(), key, &fingerprint)).await
        };
        if check.hold
            && key.is_some()
            && let Some(first) = recall().await?
        {
            return Ok(first);
        }
        let (input, output) = (check.estimated_input_tokens, check.estimated_output_tokens);
        let (state, basis) = try_join(
            self.state_of(Some(user)),
            self.basis(Some(user), &check.model_name, input, output),
        )
        .await?;
        let estimate = estimate(&state.book, &check.model_name, &basis, state.now)?;
        let balance = accounts::balance(user, state.amounts, Vec::new())?;
        let usable = state.amounts.usable()?;
        let shortfall = state.amounts.shortfall(estimate.estimated_points)?;
        let rates = state
            .book
            .in_force(&check.model_name, state.now)
            .map(|version| version.rates)
            .map_err(unpriced)?;
        let answer = BalanceCheck {
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
            affordable_output_tokens: affordable_output(&rates, &basis.tokens, usable)
                .map_or(Some(0), |tokens| (tokens < u64::MAX).then_some(tokens)),
            estimate,
            hold_id: None,
            expires_at: None,
        };
        if !check.hold {
            return Ok(answer);
        }
        if answer.can_proceed {
            let new = NewHold {
                user,
                model_name: Some(&check.model_name),
                points: answer.estimate.estimated_points,
                seconds: check.hold_seconds.unwrap_or(HOLD_SECONDS_DEFAULT),
                once: key.map(|key| (key, holds::fingerprint(user, check))),
                is_told: true,
            };
            // Boxed, as what follows: most checks ask for no hold, and need not carry it.
            let hold = self.hold(&new, |hold| Ok(completed(answer, hold)));
            return Box::pin(hold).await;
        }
        // What is missing may be missing because the first request has taken it meanwhile.
        Ok(recall().await?.unwrap_or(answer))
    }

    pub(crate) async fn basis(
        &self,
        user: Option<&UserId>,
        model: &ModelName,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
    ) -> Result<Basis> {
        if let (Some(input), Some(output)) = (input_tokens, output_tokens) {
            return Ok(Basis {
                tokens: Tokens::new(input, output),
                basis: EstimateBasis::Request,
            });
        }
        let (mut tokens, basis) = Box::pin(self.usual_tokens(user, model)).await?;
        // A given count replaces the whole side of the message that it counts.
        if let Some(input) = input_tokens {
            tokens = Tokens {
                input,
                cached_input: 0,
                cache_write: 0,
                ..tokens
            };
        }
        if let Some(output) = output_tokens {
            tokens = Tokens {
                output,
                reasoning: 0,
                ..tokens
            };
        }
        Ok(Basis { tokens, basis })
    }

    async fn usual_tokens(
        &self,
        user: Option<&UserId>,
        model: &ModelName,
    ) -> Result<(Tokens, EstimateBasis)> {
        if let Some(user) = user
            && let Some(tokens) = averages(&self.recent_of_user(user, model).await?)
        {
            return Ok((tokens, EstimateBasis::UserHistory));
        }
        Ok(match averages(&self.recent_of_all(model).await?) {
            Some(tokens) => (tokens, EstimateBasis::ModelHistory),
            None => (DEFAULT_TOKENS, EstimateBasis::Default),
        })
    }

    async fn recent_of_user(&self, user: &UserId, model: &ModelName) -> Result<Vec<Tokens>> {
        let key = model.key();
        let lines: Vec<Json<Vec<Line>>> = sqlx::query_scalar(
            "select lines from (
                 select entry, lines from consumption where account_id = $1
                 order by entry desc limit $2
             ) recent
             where lines @> $3 order by entry desc limit $4",
        )
        .bind(chain::account_id(user))
        .bind(USER_ROWS_MAX)
        .bind(serde_json::json!([{ "modelKey": key }]))
        .bind(SAMPLE_MESSAGES)
        .fetch_all(self.pool())
        .await?;
        Ok(lines
            .into_iter()
            .flat_map(|Json(lines)| lines)
            .filter(|line| line.model_key == key)
            .map(|line| line.tokens)
            .collect())
    }

    async fn recent_of_all(&self, model: &ModelName) -> Result<Vec<Tokens>> {
        let rows = sqlx::query(
            "select input_tokens, output_tokens from (
                 select model_name, input_tokens, output_tokens from delivery
                 where outcome = 'charged' order by tx desc, id desc limit $1
             ) recent
             where lower(model_name) = $2 limit $3",
        )
        .bind(DELIVERY_ROWS_MAX)
        .bind(model.key())
        .bind(SAMPLE_MESSAGES)
        .fetch_all(self.pool())
        .await?;
        let count = |row: &PgRow, column| -> Result<u64> {
            Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
        };
        let samples = rows.iter().map(|row| {
            let input = count(row, "input_tokens")?;
            Ok(Tokens::new(input, count(row, "output_tokens")?))
        });
        samples.collect()
    }
}

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

fn unpriced(error: Unpriced) -> crate::Error {
    Problem::field(
        "modelName",
        match error {
            Unpriced::UnknownModel => FieldFault::NotPriced,
            Unpriced::InactivePrice => FieldFault::PriceInactive,
        },
    )
    .into()
}

pub(crate) fn estimate(
    book: &PriceBook,
    model: &ModelName,
    basis: &Basis,
    now: Timestamp,
) -> Result<Estimate> {
    let version = book.in_force(model, now).map_err(unpriced)?;
    let quote = quote(&version.rates, &basis.tokens)
        .map_err(|_| Problem::field("inputTokens", FieldFault::TooLarge))?;
    let tokens = &basis.tokens;
    Ok(Estimate {
        model_name: version.model_name.clone(),
        input_tokens: tokens.all_input(),
        output_tokens: tokens.all_output(),
        basis: basis.basis,
        estimated_points: quote.points,
        estimated_points_nano: quote.points.into(),
        per_request: quote.per_request,
        lines: quote.lines,
        price_version: version.version,
        price_version_id: version.id,
    })
}

fn affordable_calls(available: Points, call: Points) -> Option<u64> {
    if call.is_zero() {
        return None;
    }
    Some(u64::try_from(available.nano() / call.nano()).unwrap_or(0))
}
