//! `POST /api/dify/webhook`: who are you, is it signed, what was used; the ledger does the rest.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::{Delivery, Entrance, Ledger, Scope};
use shared::api::{Outcome, WebhookAnswer};
use shared::clock::Timestamp;
use shared::dify::{MessageUsage, parse_webhook};
use shared::locale::Locale;
use shared::problem::Problem;
use time::OffsetDateTime;

use super::answer::{Language, Refusal, success};
use super::{body, key, signature};

/// How much of a refused body is kept for the administrator.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// The message of the original specification, which callers may compare.
const PROCESSED: &str = "Token consumption processed successfully";

pub async fn deliver(
    State(ledger): State<Ledger>,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let received_at = Timestamp::new(OffsetDateTime::now_utc());
    let (parts, body) = request.into_parts();
    let key = key::authenticate(&ledger, &parts.headers).await?;

    let (body, problem) = match body::read(body).await {
        Ok(body) => (body, None),
        Err(refused) => (refused.kept, Some(refused.problem)),
    };
    let understand = || -> Result<MessageUsage, Problem> {
        key::check_scope(&key, Scope::Webhook)?;
        if let Some(problem) = problem {
            return Err(problem);
        }
        signature::verify(
            &parts.headers,
            &body,
            &key.signing_secret,
            key.require_signature,
            received_at,
        )?;
        parse_webhook(&body)
    };
    let message = match understand() {
        Ok(message) => message,
        Err(problem) => {
            let kept = body.get(..KEPT_BYTES_MAX).unwrap_or(&body);
            // Before the answer: whoever is told that a body was refused can rely on its being kept.
            ledger
                .reject(&key, Entrance::Webhook, kept, &problem, received_at)
                .await?;
            return Err(problem.into());
        }
    };
    let answer = ledger
        .deliver(Delivery::new(
            key,
            Entrance::Webhook,
            message,
            body,
            received_at,
        ))
        .await?;
    Ok(tell(answer, locale, PROCESSED))
}

/// 200 for what is charged, 202 for what waits.
pub(super) fn tell(answer: WebhookAnswer, locale: Locale, processed: &'static str) -> Response {
    if answer.status != Outcome::Quarantined {
        return success(processed, answer);
    }
    let message = match locale {
        Locale::En => "Kept, but not charged yet: it waits for an administrator",
        Locale::Zh => "已保存，尚未扣费，等待管理员处理",
    };
    (StatusCode::ACCEPTED, success(message, answer)).into_response()
}
