//! A metered call: check, hold, pass through, read a copy, charge.

use std::sync::Arc;

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::{ApiKey, Delivery, Entrance};
use reqwest::Request;
use serde_json::json;
use shared::formats::dify_stream::{CallContext, Meter, Pause};
use shared::problem::Problem;
use shared::usage::TextAmount;
use shared::usage::{Evidence, ModelCall};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::address::Treatment;
use super::binding::Speaker;
use super::check::{HOLD_SECONDS, check};
use super::error::DifyError;
use super::paused;
use crate::http::plumbing::rejection::rejection;
use crate::http::plumbing::state::Http;
use crate::http::plumbing::{metered, upstream};

/// A call that somebody pays for.
pub(super) struct GatewayCall {
    http: Http,
    source: Arc<ApiKey>,
    kind: Treatment,
    asked: CallContext,
    /// The user's name as Dify knows it.
    dify_user: String,
}

impl GatewayCall {
    pub(super) fn new(
        http: Http,
        source: Arc<ApiKey>,
        speaker: Speaker,
        kind: Treatment,
        text: TextAmount,
    ) -> Self {
        let asked = CallContext {
            user_id: speaker.id,
            assumed_model: source.settings.model_name.clone(),
            text,
            usual_input_tokens: 0,
            is_continuation: kind == Treatment::Continued,
        };
        Self {
            http,
            source,
            kind,
            asked,
            dify_user: speaker.dify_name,
        }
    }

    /// Runs the call in a task of its own: what Dify has begun is metered to its end, also when the
    /// client has left.
    pub(super) async fn start(self, request: Request) -> Result<Response, DifyError> {
        let (answer, answered) = oneshot::channel();
        let calls = self.http.0.calls.clone();
        calls.spawn(self.run(request, answer));
        answered.await.map_err(|_| Problem::Internal)?
    }

    async fn run(self, request: Request, answer: oneshot::Sender<Result<Response, DifyError>>) {
        let hold = match self.admit().await {
            Ok(hold) => hold,
            Err(denial) => {
                drop(answer.send(Err(denial)));
                return;
            }
        };
        if answer.is_closed() {
            // The client left before anything has begun.
            return self.release(hold).await;
        }
        let response = match upstream::send(&self.http.0.upstream, request).await {
            Ok(response) => response,
            Err(fault) => {
                self.release(hold).await;
                drop(answer.send(Err(fault.into())));
                return;
            }
        };
        let (status, headers) = upstream::head(&response);
        let mut meter = self.meter(status, &headers);
        let mut noticed = Noticed::default();
        let (client, body) = metered::channel();
        drop(answer.send(Ok((status, headers, body).into_response())));
        let relayed = metered::relay(
            &self.http,
            &self.source.name,
            response,
            Some(client),
            meter.is_some(),
            |chunk| {
                if let Some(meter) = &mut meter {
                    meter.read(&chunk);
                    noticed.see(&self, meter.pause());
                }
                chunk
            },
        )
        .await;
        let calls = self.http.0.calls.clone();
        let settled = calls.spawn(self.settle(meter, noticed, hold));
        drop(timeout(metered::CHARGE_WAIT_MAX, settled).await);
        drop(relayed.client);
    }

    /// Asks whether the user can pay, and holds the points.
    async fn admit(&self) -> Result<Option<String>, DifyError> {
        if self.kind != Treatment::Charged {
            return Ok(None);
        }
        let is_held = !self.source.settings.is_protecting_only;
        let hold_seconds = is_held.then_some(HOLD_SECONDS);
        let CallContext { user_id, text, .. } = &self.asked;
        check(&self.http, &self.source, user_id, *text, hold_seconds).await
    }

    async fn release(&self, hold: Option<String>) {
        let ledger = self.http.ledger();
        metered::release(ledger, &self.asked.user_id, hold.as_deref()).await;
    }

    /// Reads what Dify answers, where that tells what was used. Refusals use nothing.
    fn meter(&self, status: StatusCode, headers: &HeaderMap) -> Option<Meter> {
        if !status.is_success() || self.source.settings.is_protecting_only {
            return None;
        }
        let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
        let source = &self.source.name;
        if text(CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            tracing::error!(
                source,
                "{source} compresses its answers: they cannot be metered"
            );
            return None;
        }
        let media_type = text(CONTENT_TYPE).unwrap_or_default();
        if media_type.starts_with("text/event-stream") {
            Some(Meter::stream())
        } else {
            Some(Meter::answer())
        }
    }

    /// Charges what was seen, and frees the hold. A run that is to go on is followed.
    async fn settle(mut self, meter: Option<Meter>, mut noticed: Noticed, hold: Option<String>) {
        let Some(seen) = meter.map(Meter::finish) else {
            return self.release(hold).await;
        };
        let pause = seen.pause();
        let rest = seen.rest().filter(|_| self.asked.is_continuation);
        noticed.see(&self, pause.or(rest));
        noticed.kept().await;
        let Some(mut message) = seen.report(&self.asked) else {
            if let Some(start) = seen.start_of_unread() {
                self.keep_unread(start).await;
            }
            return self.release(hold).await;
        };
        // A sum says all that went in; an estimate does not.
        let evidence = |call: &ModelCall| call.evidence.unwrap_or(message.evidence);
        let mut calls = message.calls.iter();
        let is_guessed = calls.any(|call| evidence(call) == Evidence::Estimated);
        if is_guessed && !self.asked.is_continuation {
            self.asked.usual_input_tokens = self.usual_input().await;
            message = seen.report(&self.asked).unwrap_or(message);
        }
        let (ledger, source) = (self.http.ledger(), &self.source);
        let is_continuation = self.asked.is_continuation;
        let may_miss_calls = is_continuation && message.is_itemized();
        let mut delivery = Delivery::own(Arc::clone(source), Entrance::Gateway, message);
        delivery.continues = is_continuation;
        metered::deliver(ledger, delivery.settling(hold.as_deref())).await;
        if may_miss_calls && let Some(whole) = seen.total(&self.asked) {
            paused::deliver_rest(ledger, source, whole).await;
        }
        if is_continuation && let Some(run) = seen.ended_run() {
            paused::forget(ledger, source, run).await;
        }
    }

    /// Without what the app adds to what was asked, an estimate would be too low.
    async fn usual_input(&self) -> u64 {
        let (source, user) = (&self.source, &self.asked.user_id);
        let usual = self.http.ledger().usual_input(user, source).await;
        usual.unwrap_or_else(|error| {
            let source = &source.name;
            tracing::warn!(%error, source, "an estimate of {source} is only of what was asked: {error}");
            0
        })
    }

    /// What cannot be charged because it cannot be read is kept for an administrator, with whose it
    /// is and how it begins, where its ids stand.
    async fn keep_unread(&self, start: &[u8]) {
        let (source, user) = (&self.source.name, self.asked.user_id.as_str());
        tracing::error!(
            source,
            user,
            "an answer of {source} to {user} is too long to be metered: it waits for an administrator"
        );
        let body = json!({ "user": user, "start": String::from_utf8_lossy(start) });
        let unreadable = Problem::InvalidJson {
            detail: "too long".to_owned(),
        };
        let now = OffsetDateTime::now_utc().into();
        let ledger = self.http.ledger();
        let body = body.to_string();
        let rejection = rejection(Entrance::Gateway, body.as_bytes(), &unreadable, now);
        if let Err(error) = ledger.reject(&self.source, rejection).await {
            tracing::error!(%error, source, user, body, "what {user} used at {source} is lost: {error}");
        }
    }
}

/// The pause of a run, kept as soon as it is told: a form may be submitted while the stream still
/// lasts.
#[derive(Default)]
struct Noticed {
    pause: Option<Pause>,
    keeping: Option<JoinHandle<()>>,
}

impl Noticed {
    /// Keeps a pause that is new, or tells more, after what was kept before.
    fn see(&mut self, call: &GatewayCall, pause: Option<Pause>) {
        let Some(pause) = pause.filter(|pause| self.pause.as_ref() != Some(pause)) else {
            return;
        };
        self.pause = Some(pause.clone());
        let before = self.keeping.take();
        let (http, source) = (call.http.clone(), Arc::clone(&call.source));
        let (user, dify_user) = (call.asked.user_id.clone(), call.dify_user.clone());
        self.keeping = Some(call.http.0.calls.spawn(async move {
            if let Some(before) = before {
                drop(before.await);
            }
            paused::remember(http.ledger(), &source, &user, &dify_user, &pause).await;
        }));
    }

    async fn kept(self) {
        if let Some(keeping) = self.keeping {
            drop(keeping.await);
        }
    }
}
