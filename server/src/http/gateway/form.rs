//! A form that a paused run waits for: submitting it makes the run go on, which costs.

use std::sync::Arc;

use axum::response::Response;
use ledger::{ApiKey, PausedRun};
use shared::ids::UserId;

use super::binding::Bound;
use super::call::check;
use super::denial::Denial;
use super::follow::Follow;
use crate::http::{Http, upstream};

/// Who submits which form of which app.
pub(super) struct Form {
    pub http: Http,
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
    pub(super) async fn submit(self, bound: Bound) -> Result<Response, Denial> {
        let run = self.run().await?;
        let payer = match &run {
            // A user is told of no balance but the own one.
            Some(run) if !self.is_own => &run.user_id,
            _ => &self.user,
        };
        check(&self.http, &self.source, payer, bound.text, None).await?;
        let following = match &run {
            Some(run) => Follow::begin(&self.http, run).await,
            None => None,
        };
        let response = upstream::send(&self.http.0.upstream, bound.request).await;
        let goes_on = response.as_ref().is_ok_and(|it| it.status().is_success());
        match following {
            Some(following) if goes_on => drop(self.http.0.calls.spawn(following.go_on())),
            // An answer that was lost says nothing of what became of the form.
            Some(following) => following.give_up().await,
            None if goes_on => self.wake(run).await,
            None => {}
        }
        Ok(upstream::straight(
            response?,
            self.http.0.upstream_silence_max,
        ))
    }

    async fn run(&self) -> Result<Option<PausedRun>, Denial> {
        let ledger = self.http.ledger();
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
        let ledger = self.http.ledger();
        if let Err(error) = ledger.wake_paused(&self.source, user, run_id).await {
            tracing::warn!(%error, "a run that goes on is looked at later: {error}");
        }
    }
}
