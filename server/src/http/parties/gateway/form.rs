//! A form that a paused run waits for: submitting it makes the run go on, which costs.

use std::sync::Arc;

use axum::response::Response;
use ledger::{ApiKey, PausedRun};
use shared::ids::UserId;

use super::binding::Bound;
use super::check::{HOLD_SECONDS, check};
use super::error::DifyError;
use super::follow::RunFollower;
use super::state::Gateway;
use crate::http::plumbing::{metered, upstream};

/// Who submits which form of which app.
pub(super) struct Form {
    pub gateway: Gateway,
    pub source: Arc<ApiKey>,
    /// From the address.
    pub token: String,
    /// Whom the request speaks for.
    pub user: UserId,
    /// Whether the caller is that user, and no back end that speaks for anybody.
    pub is_own: bool,
}

impl Form {
    /// Checks whether what the run still uses can be paid, passes the form on, and follows the run.
    /// Whoever is refused can submit it again later.
    pub(super) async fn submit(self, bound: Bound) -> Result<Response, DifyError> {
        let run = self.run().await?;
        let payer = run.as_ref().map_or(&self.user, |run| &run.user_id).clone();
        // What is not followed is not charged here: it is only looked at.
        let seconds = run.as_ref().map(|_| HOLD_SECONDS);
        let hold = match check(
            &self.gateway.http,
            &self.source,
            &payer,
            bound.text,
            seconds,
        )
        .await
        {
            // A user is told of no balance but the own one.
            Err(DifyError::TooExpensive { .. }) if self.is_own && payer != self.user => {
                return Err(DifyError::OwnerCannotPay);
            }
            hold => hold?,
        };
        let release = metered::release(self.gateway.http.ledger(), &payer, hold.as_deref());
        let following = match &run {
            Some(run) => match RunFollower::begin(&self.gateway, run).await {
                Ok(following) => following,
                Err(busy) => {
                    release.await;
                    return Err(busy.into());
                }
            },
            None => None,
        };
        let response = upstream::send(&self.gateway.http.0.upstream, bound.request).await;
        let goes_on = match &response {
            Ok(response) => response.status().is_success(),
            // An answer that was lost says nothing of what became of the form.
            Err(fault) => !fault.is_before_sending(),
        };
        match following {
            Some(following) if goes_on => {
                drop(
                    self.gateway
                        .http
                        .0
                        .calls
                        .spawn(following.go_on(hold.clone())),
                );
            }
            Some(following) => {
                following.give_up().await;
                release.await;
            }
            None => {
                release.await;
                if goes_on {
                    self.wake(run).await;
                }
            }
        }
        match response {
            Err(_) if goes_on => Err(DifyError::FormMayBeTaken),
            response => Ok(upstream::straight(
                response?,
                self.gateway.http.0.upstream_silence_max,
            )),
        }
    }

    async fn run(&self) -> Result<Option<PausedRun>, DifyError> {
        let ledger = self.gateway.http.ledger();
        match ledger.paused_run_of(&self.source, &self.token).await {
            Err(error) if self.source.settings.is_fail_open => {
                tracing::warn!(%error, "whose form was submitted is not known: {error}");
                Ok(None)
            }
            run => Ok(run?),
        }
    }

    /// Has the run looked at soon; where it is not known which one it is, all that may be it.
    async fn wake(&self, run: Option<PausedRun>) {
        let (user, run_id) = match &run {
            Some(run) => (&run.user_id, Some(run.run_id.as_str())),
            None => (&self.user, None),
        };
        let ledger = self.gateway.http.ledger();
        if let Err(error) = ledger.wake_paused(&self.source, user, run_id).await {
            tracing::warn!(%error, "a run that goes on is looked at later: {error}");
        }
    }
}
