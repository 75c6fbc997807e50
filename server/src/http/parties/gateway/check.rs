//! Can a user pay for a call?

use ledger::{ApiKey, CallEstimate};
use shared::ids::UserId;
use shared::usage::TextAmount;

use super::error::DifyError;
use crate::http::plumbing::state::Http;

/// Points are held for as long as Dify lets a run take.
pub(super) const HOLD_SECONDS: u32 = 1200;

/// Asks whether a user can pay for a call, and holds its points for so long, or not at all.
pub(super) async fn check(
    http: &Http,
    source: &ApiKey,
    user: &UserId,
    text: TextAmount,
    hold_seconds: Option<u32>,
) -> Result<Option<String>, DifyError> {
    let estimate = CallEstimate {
        model_name: None,
        input_tokens: None,
        output_tokens: None,
        asked_tokens: text.tokens(),
        hold_seconds,
    };
    match http.ledger().check_call(user, source, &estimate).await {
        Ok(check) if check.can_proceed => Ok(check.hold_id),
        Ok(check) => Err(DifyError::TooExpensive {
            needed: check.estimated_points,
            available: check.available,
        }),
        Err(error) if source.settings.is_fail_open => {
            let source = &source.name;
            tracing::warn!(%error, source, "a call of {source} passed unchecked: {error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
