//! Before a call through a source: what will it cost, is there enough, and a hold for it.

use futures::future::try_join;
use serde::{Deserialize, Serialize};
use shared::api::{DEFAULT_TOKENS, Hold};
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use shared::problem::{FieldFault, Problem};
use shared::quote::quote;
use shared::tokens::Tokens;
use sqlx::Row;
use sqlx::types::Json;

use crate::consumption::Line;
use crate::error::Result;
use crate::estimate::{Basis, SAMPLE_MESSAGES, average};
use crate::holds::NewHold;
use crate::states::State;
use crate::{ApiKey, Ledger};

/// Deliveries of a source looked through for them.
const SAMPLE_ROWS_MAX: i64 = 1000;

/// What is known of a call before it runs. What is absent comes from the source's settings, then
/// from what recent messages of the source cost, then from a default.
#[derive(Debug, Clone, Default)]
pub struct CallEstimate {
    pub model_name: Option<ModelName>,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// What is asked has at least so many tokens, whatever calls used before.
    pub asked_tokens: u64,
    /// How long the points are promised; absent, they are only looked at.
    pub hold_seconds: Option<u32>,
}

/// Whether a call may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallCheck {
    pub can_proceed: bool,
    pub estimated_points: Points,
    pub balance: Points,
    pub available: Points,
    /// What is missing; at least a nanopoint when the call may not run.
    pub shortfall: Points,
    pub hold_id: Option<String>,
}

impl Ledger {
    /// Estimates a call of a user through a source, checks it against the balance, and holds its
    /// points when that is asked for. Such a hold is for this process: who tells its id to anybody
    /// else promises what a crash of Postgres' machine may forget.
    ///
    /// # Errors
    /// Field problems of `modelName` when the call's model has no price in force, or nothing has.
    pub async fn check_call(
        &self,
        user: &UserId,
        source: &ApiKey,
        call: &CallEstimate,
    ) -> Result<CallCheck> {
        let model = call
            .model_name
            .as_ref()
            .or(source.settings.model_name.as_ref());
        let (state, expected) = try_join(
            self.state_of(Some(user)),
            self.expected(user, source, call, model),
        )
        .await?;
        let points = expected.points(model, &state)?;
        let shortfall = state.amounts.shortfall(points)?;
        let check = CallCheck {
            can_proceed: shortfall.is_zero(),
            estimated_points: points,
            balance: Points::from_nano(state.amounts.balance_nano),
            available: state.amounts.available()?,
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
        self.hold(&new, |hold| Ok(check.completed(hold))).await
    }

    async fn expected(
        &self,
        user: &UserId,
        source: &ApiKey,
        call: &CallEstimate,
        model: Option<&ModelName>,
    ) -> Result<Expected> {
        let settings = &source.settings;
        let input = call.input_tokens.or(settings.estimated_input_tokens);
        let output = call.output_tokens.or(settings.estimated_output_tokens);
        if let Some(model) = model {
            let mut basis = self.basis(Some(user), model, input, output).await?;
            basis.tokens.input = basis.tokens.input.max(call.asked_tokens);
            return Ok(Expected::Tokens(basis));
        }
        if input.is_none()
            && output.is_none()
            && let Some(points) = self.usual_charge(user, source).await?
        {
            return Ok(Expected::Points(points));
        }
        Ok(Expected::TokensOfAnyModel(Tokens::new(
            input.unwrap_or(DEFAULT_TOKENS.input).max(call.asked_tokens),
            output.unwrap_or(DEFAULT_TOKENS.output),
        )))
    }

    /// What usually goes into one model call of a user through a source: on average of what was told
    /// lately of the user's calls, else of everybody's, else by the source's settings; 0 where nobody
    /// knows. What was only estimated does not count: it would raise itself.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn usual_input(&self, user: &UserId, source: &ApiKey) -> Result<u64> {
        for user in [Some(user), None] {
            let told = self.recently_told(source, user).await?;
            if !told.is_empty() {
                return Ok(average(&told));
            }
        }
        Ok(source.settings.estimated_input_tokens.unwrap_or(0))
    }

    /// What went into the calls of recent messages of a source, of one user or of all.
    async fn recently_told(&self, source: &ApiKey, user: Option<&UserId>) -> Result<Vec<u64>> {
        let lines: Vec<Json<Vec<Line>>> = sqlx::query_scalar(
            "select c.lines from (
                 select message_id from (
                     select user_id, message_id from delivery
                     where api_key_id = $1 and outcome = 'charged' and charge_nano > 0
                     order by tx desc, id desc limit $2
                 ) recent
                 where $3::text is null or user_id = $3 limit $4
             ) sample
             join message m on m.namespace_id = $5 and m.message_id = sample.message_id
                 and m.part = 0 and m.evidence <> 'estimated'
             join consumption c on c.account_id = m.account_id and c.entry = m.entry",
        )
        .bind(source.id)
        .bind(SAMPLE_ROWS_MAX)
        .bind(user.map(UserId::as_str))
        .bind(SAMPLE_MESSAGES)
        .bind(source.namespace_id)
        .fetch_all(self.pool())
        .await?;
        let lines = lines.into_iter().flat_map(|Json(lines)| lines);
        Ok(lines.map(|line| line.tokens.all_input()).collect())
    }

    /// What messages of this source cost lately: the user's, or else everybody's, on average and
    /// rounded up.
    async fn usual_charge(&self, user: &UserId, source: &ApiKey) -> Result<Option<Points>> {
        let row = sqlx::query(
            "with recent as (
                 select user_id, charge_nano from delivery
                 where api_key_id = $1 and outcome = 'charged' and charge_nano > 0
                 order by tx desc, id desc limit $2
             )
             select (select ceil(avg(charge_nano))::bigint from (
                        select charge_nano from recent where user_id = $3 limit $4) own) as own,
                    (select ceil(avg(charge_nano))::bigint from (
                        select charge_nano from recent limit $4) any_user) as any_user",
        )
        .bind(source.id)
        .bind(SAMPLE_ROWS_MAX)
        .bind(user.as_str())
        .bind(SAMPLE_MESSAGES)
        .fetch_one(self.pool())
        .await?;
        let own: Option<i64> = row.try_get("own")?;
        Ok(own.or(row.try_get("any_user")?).map(Points::from_nano))
    }
}

/// What a call is expected to use.
enum Expected {
    Tokens(Basis),
    Points(Points),
    /// Nobody knows the model: the dearest one is the one that surely suffices.
    TokensOfAnyModel(Tokens),
}

impl Expected {
    fn points(&self, model: Option<&ModelName>, state: &State) -> Result<Points> {
        let not_priced = || Problem::field("modelName", FieldFault::NotPriced);
        match self {
            Self::Points(points) => Ok(*points),
            Self::Tokens(basis) => {
                let model = model.ok_or_else(not_priced)?;
                let estimate = crate::estimate::estimate(&state.book, model, basis, state.now)?;
                Ok(estimate.estimated_points)
            }
            Self::TokensOfAnyModel(tokens) => state
                .book
                .current(state.now)
                .filter_map(|version| state.book.in_force(&version.model_name, state.now).ok())
                .filter_map(|version| quote(&version.rates, tokens).ok())
                .map(|quote| quote.points)
                .max()
                .ok_or_else(|| not_priced().into()),
        }
    }
}

impl CallCheck {
    fn completed(mut self, hold: Option<Hold>) -> Self {
        match hold {
            Some(hold) => self.hold_id = Some(hold.hold_id),
            None => {
                self.can_proceed = false;
                self.shortfall = self.shortfall.max(Points::from_nano(1));
            }
        }
        self
    }
}
