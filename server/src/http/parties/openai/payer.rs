//! Who pays for a call, and whether they can.

use ledger::{ApiKey, CallCheck, CallEstimate};
use shared::formats::openai::CallRequest;
use shared::ids::UserId;
use shared::problem::Problem;

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::state::Openai;

/// A hold outlives the longest answer.
const HOLD_SECONDS: u32 = 3600;

/// Whose points a call takes.
pub struct Payer {
    pub user: UserId,
    /// Nobody was named: the source itself pays, with an account of its own, so that nothing is free.
    is_source: bool,
}

impl Payer {
    pub async fn of(openai: &Openai, key: &ApiKey, user: Option<&str>) -> Result<Self, ApiError> {
        let Some(user) = user else {
            let account = format!("source:{}", key.name)
                .parse()
                .or_else(|_| format!("source:{}", key.id).parse());
            return Ok(Self {
                user: account.map_err(|fault| Problem::field("user", fault))?,
                is_source: true,
            });
        };
        let named = openai.end_users.named(&openai.http, key, user).await;
        let user = match named {
            // Nobody can be asked whose id it is; the operator prefers an answer.
            Err(
                ApiError::UserUnknown | ApiError::Problem(Problem::Busy { .. } | Problem::Internal),
            ) if key.settings.is_fail_open => user
                .parse()
                .map_err(|fault| Problem::field("user", fault))?,
            named => named?,
        };
        Ok(Self {
            user,
            is_source: false,
        })
    }

    /// Checks the call and holds its points; gives the hold, if there is one.
    pub async fn admit(
        &self,
        openai: &Openai,
        key: &ApiKey,
        endpoint: Endpoint,
        asked: &CallRequest,
    ) -> Result<Option<String>, ApiError> {
        let settings = &key.settings;
        let output_tokens = match (asked.output_tokens_max, settings.estimated_output_tokens) {
            _ if endpoint == Endpoint::Embeddings => Some(0),
            // The most that may come is no expectation, where the operator has a better one.
            (Some(most), Some(expected)) => Some(most.min(expected)),
            (most, expected) => most.or(expected),
        };
        let estimate = CallEstimate {
            model_name: Some(asked.model_name.clone()),
            input_tokens: Some(asked.input_tokens),
            output_tokens,
            asked_tokens: 0,
            hold_seconds: (!settings.is_protecting_only).then_some(HOLD_SECONDS),
        };
        match openai
            .http
            .ledger()
            .check_call(&self.user, key, &estimate)
            .await
        {
            Ok(check) if check.can_proceed => Ok(check.hold_id),
            Ok(_) if self.is_source && settings.is_fail_open => Ok(None),
            Ok(check) => Err(self.refuse(openai, check)),
            Err(error) if settings.is_fail_open => {
                tracing::warn!(source = key.name, user = %self.user, %error, "a call passes unchecked");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn refuse(&self, openai: &Openai, check: CallCheck) -> ApiError {
        let check = Box::new(check);
        if self.is_source {
            ApiError::NoUser {
                account: self.user.clone(),
                check,
            }
        } else {
            ApiError::Points {
                check,
                recharge_url: openai.http.0.context.recharge_url.clone(),
            }
        }
    }
}
