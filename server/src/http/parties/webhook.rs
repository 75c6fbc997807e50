//! `POST /api/dify/webhook` and `/api/dify/webhook/batch`: who are you, is it signed, what was used;
//! the ledger does the rest.

use std::sync::Arc;

use access::{Denial, key, signature};
use app::Explain;
use app::text::InWords;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::future::join_all;
use ledger::{ApiKey, Delivery, Entrance, Ledger, Scope};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::api::{BatchAnswer, EventResult, Failure, Outcome, WebhookAnswer};
use shared::clock::Timestamp;
use shared::formats::dify::parse_webhook;
use shared::locale::Locale;
use shared::problem::{FieldFault, Problem};
use shared::source::SourceEntrance;
use time::OffsetDateTime;

use crate::http::plumbing::answer::{Language, charged, success};
use crate::http::plumbing::body;
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::rejection::rejection;

const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events of one batch at most.
pub const BATCH_EVENTS_MAX: u32 = 1000;

/// The message of the original specification, which callers may compare.
const PROCESSED: &str = "Token consumption processed successfully";

/// One event.
pub async fn deliver(
    State(ledger): State<Ledger>,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let received = receive(&ledger, request, body::BYTES_MAX).await?;
    let message = match parse_webhook(&received.body) {
        Ok(message) => message,
        Err(problem) => {
            received.reject(&ledger, &received.body, &problem).await?;
            return Err(problem.into());
        }
    };
    let answer = ledger
        .deliver(Delivery::new(
            received.key,
            Entrance::Webhook,
            message,
            received.body,
            received.at,
        ))
        .await?;
    Ok(charged(answer, locale, PROCESSED))
}

#[derive(Deserialize)]
struct BatchBody<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Counts the result of an event, and adds it.
fn add_result(answer: &mut BatchAnswer, result: Result<WebhookAnswer, Problem>, locale: Locale) {
    let count = match &result {
        Ok(told) if told.status == Outcome::Charged => &mut answer.charged,
        Ok(told) if told.status == Outcome::Duplicate => &mut answer.duplicate,
        Ok(_) => &mut answer.quarantined,
        Err(_) => &mut answer.failed,
    };
    *count += 1;
    answer.results.push(match result {
        Ok(told) => EventResult::Answer(told),
        Err(problem) => EventResult::Failure(Failure::new(&problem, problem.message(locale))),
    });
}

/// Up to 1,000 events: each has its own answer, and none spoils another. Sent again, those that
/// were charged are duplicates.
pub async fn deliver_batch(
    State(ledger): State<Ledger>,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let received = receive(&ledger, request, BATCH_BYTES_MAX).await?;
    let batch = match parse_batch(&received.body) {
        Ok(batch) => batch,
        Err(problem) => {
            received.reject(&ledger, &received.body, &problem).await?;
            return Err(problem.into());
        }
    };
    let deliveries = batch.events.iter().map(|event| {
        let body = event.get().as_bytes();
        let delivered = parse_webhook(body).map(|message| {
            let (key, body) = (Arc::clone(&received.key), body.to_vec());
            let delivery = Delivery::new(key, Entrance::Webhook, message, body, received.at);
            ledger.deliver(delivery)
        });
        let (ledger, received) = (&ledger, &received);
        async move {
            match delivered {
                Ok(answer) => answer.await.map_err(told),
                Err(problem) => {
                    let kept = received.reject(ledger, body, &problem).await;
                    kept.map_err(told)?;
                    Err(problem)
                }
            }
        }
    });
    let results = join_all(deliveries).await;
    // When nothing was recorded, the status says so too, for senders that look no further.
    if let [Err(problem), ..] = results.as_slice()
        && results.iter().all(is_busy)
    {
        return Err(problem.clone().into());
    }
    let mut answer = BatchAnswer::default();
    for result in results {
        add_result(&mut answer, result, locale);
    }
    Ok(success(PROCESSED, answer))
}

/// What the sender of an event is told; what is our own fault goes to the log.
fn told(error: impl Explain) -> Problem {
    let problem = error.problem();
    if problem == Problem::Internal
        && let Some(error) = error.cause()
    {
        tracing::error!(%error, "an event of a batch failed");
    }
    problem
}

const fn is_busy(result: &Result<WebhookAnswer, Problem>) -> bool {
    matches!(result, Err(Problem::Busy { .. }))
}

fn parse_batch(body: &[u8]) -> Result<BatchBody<'_>, Problem> {
    let batch: BatchBody<'_> = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            // JSON, but not an object with a list of events.
            Problem::field("events", FieldFault::Missing)
        } else {
            Problem::InvalidJson {
                detail: error.to_string(),
            }
        }
    })?;
    let range = 1..=BATCH_EVENTS_MAX;
    match u32::try_from(batch.events.len()) {
        Ok(count) if range.contains(&count) => Ok(batch),
        _ => Err(Problem::field(
            "events",
            FieldFault::OutOfRange {
                min: 1,
                max: BATCH_EVENTS_MAX,
            },
        )),
    }
}

/// A request from a sender that may send it, as far as the body need not be understood.
struct Received {
    key: Arc<ApiKey>,
    body: Vec<u8>,
    at: Timestamp,
}

impl Received {
    /// Keeps what is refused. Comes before the answer: whoever is told that a body was refused can
    /// rely on its being kept.
    async fn reject(&self, ledger: &Ledger, body: &[u8], problem: &Problem) -> ledger::Result<()> {
        let rejection = rejection(Entrance::Webhook, body, problem, self.at);
        let rejected = ledger.reject(&self.key, rejection);
        // Boxed, so that deliveries that are not refused do not carry what this needs.
        Box::pin(rejected).await
    }
}

async fn receive(ledger: &Ledger, request: Request, bytes_max: usize) -> Result<Received, Refusal> {
    let at = Timestamp::new(OffsetDateTime::now_utc());
    let (parts, body) = request.into_parts();
    let key = key::authenticate(ledger, &parts.headers).await?;
    let (body, problem) = match body::read_up_to(body, bytes_max).await {
        Ok(body) => (body, None),
        Err(refused) => (refused.kept, Some(refused.problem)),
    };
    let received = Received { key, body, at };
    let signed = || {
        signature::verify(
            &parts.headers,
            &received.body,
            &received.key.signing_secret,
            received.key.require_signature,
            at,
        )
        .map_err(|fault| Denial::from(fault).problem())
    };
    let admitted = key::check_scope(&received.key, Scope::Entrance(SourceEntrance::Webhook))
        .map_err(|denial| denial.problem())
        .and_then(|()| problem.map_or(Ok(()), Err))
        .and_then(|()| signed());
    if let Err(problem) = admitted {
        received.reject(ledger, &received.body, &problem).await?;
        return Err(problem.into());
    }
    Ok(received)
}
