//! Paused runs are followed to their end, whether or not a client does: from the moment a form is
//! submitted here, and by looking now and then where it was submitted elsewhere. Whatever a client
//! reads at the same time tells of the same calls, which the ledger charges once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dify_client::{RunEvents, Show};
use ledger::{PausedRun, RunLease};
use shared::formats::dify_stream::{AnswerUsage, CallContext, Meter};
use shared::problem::Problem;
use shared::usage::{MessageUsage, TextAmount};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{interval, sleep};

use super::paused::{deliver, deliver_rest, forget, remember};
use super::state::Gateway;
use crate::http::plumbing::metered;

const BUSY: Problem = Problem::Busy {
    retry_after_seconds: 5,
};
const TICK: Duration = Duration::from_secs(1);
/// Longer than Dify lets a run take.
const READ_MAX: Duration = Duration::from_secs(30 * 60);
/// Well before the run is taken for that of a dead process.
const RENEWAL: Duration = Duration::from_secs(15);

impl Gateway {
    /// Looks after paused runs for as long as it is polled. Any number of processes may run it.
    pub async fn follow_paused_runs(self) {
        loop {
            sleep(TICK).await;
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "paused runs were not looked at: {error}");
            }
        }
    }

    async fn look(&self) -> ledger::Result<()> {
        let ledger = self.http.ledger();
        for lost in ledger.forget_lost_paused().await? {
            let (source, user, run) = (&lost.source, &lost.user_id, &lost.run_id);
            let why = match lost.is_revoked {
                true => "its source was revoked",
                false => "it has waited for too long",
            };
            tracing::warn!(
                source,
                user,
                run,
                "the paused run {run} of {user} at {source} is followed no longer: {why}"
            );
        }
        let free = self.followers.available_permits();
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        if limit == 0 {
            return Ok(());
        }
        for run in ledger.take_due_paused(limit).await? {
            match RunFollower::of(self, &run) {
                Some(follow) => drop(self.http.0.calls.spawn(follow.look())),
                None => ledger.leave_paused(&run).await?,
            }
        }
        Ok(())
    }
}

/// A run that this process has taken.
pub(super) struct RunFollower {
    gateway: Gateway,
    run: PausedRun,
    _permit: OwnedSemaphorePermit,
}

/// A run whose events are on their way.
pub(super) struct Following {
    follow: RunFollower,
    events: RunEvents,
}

impl RunFollower {
    fn of(gateway: &Gateway, run: &PausedRun) -> Option<Self> {
        let permit = Arc::clone(&gateway.followers).try_acquire_owned().ok()?;
        Some(Self {
            gateway: gateway.clone(),
            run: run.clone(),
            _permit: permit,
        })
    }

    /// Reads what is to come of a run before it goes on, so that nothing of it is missed. `None` when
    /// it is followed already, or Dify does not tell of it.
    ///
    /// # Errors
    /// `Busy` when too many runs are followed: of what nobody reads, only a total would be known.
    pub(super) async fn begin(
        gateway: &Gateway,
        run: &PausedRun,
    ) -> Result<Option<Following>, Problem> {
        let follow = Self::of(gateway, run).ok_or(BUSY)?;
        match gateway.http.ledger().take_paused(run).await {
            Ok(RunLease::Yes) => {}
            Ok(RunLease::Elsewhere) => return Ok(None),
            Ok(RunLease::ShareUsedUp) => return Err(BUSY),
            Err(error) => {
                follow.warn(&error);
                return Ok(None);
            }
        }
        match follow.events(Show::New).await {
            Some(events) => Ok(Some(Following { follow, events })),
            None => {
                follow.leave().await;
                Ok(None)
            }
        }
    }

    /// Looks how far the run is, and reads on if it goes on.
    async fn look(self) {
        let Some(events) = self.events(Show::State).await else {
            return self.leave().await;
        };
        let seen = self.read(events).await;
        self.settle(seen, true).await;
    }

    /// The run's events, as [`Show`] says.
    async fn events(&self, show: Show) -> Option<RunEvents> {
        let (http, run) = (&self.gateway.http, &self.run);
        let address = run.source.settings.upstream_url.as_deref()?;
        let key = run.source.upstream_key.as_deref()?;
        let ask = async {
            let app = http.0.dify.app(address, key)?;
            let silence_max = http.0.upstream_silence_max;
            app.run_events(&run.run_id, &run.dify_user, show, silence_max)
                .await
        };
        let events = tokio::select! {
            events = ask => events,
            () = http.0.shutdown.cancelled() => return None,
        };
        events.map_err(|error| self.warn(&error)).ok()
    }

    /// Reads until the run is paused again or has ended, the stream breaks off, or there is no use in
    /// it any longer.
    async fn read(&self, mut events: RunEvents) -> AnswerUsage {
        let mut meter = Meter::stream();
        let mut renewal = interval(RENEWAL);
        let mut end = pin!(sleep(READ_MAX));
        while !meter.is_over() {
            tokio::select! {
                piece = events.next() => match piece {
                    Ok(Some(piece)) => meter.read(&piece),
                    Ok(None) => break,
                    Err(error) => {
                        self.warn(&error);
                        break;
                    }
                },
                _ = renewal.tick() => {
                    if matches!(self.gateway.http.ledger().keep_paused(&self.run).await, Ok(false)) {
                        break;
                    }
                }
                // The run goes on in Dify, and whoever looks next finds it.
                () = self.gateway.http.0.shutdown.cancelled() => break,
                () = &mut end => break,
            }
        }
        meter.finish()
    }

    /// Charges what is new, and gives the run back or forgets it.
    async fn settle(self, seen: AnswerUsage, was_only_looked_at: bool) {
        let ledger = self.gateway.http.ledger();
        let run = &self.run;
        let asked = CallContext {
            user_id: run.user_id.clone(),
            assumed_model: run.source.settings.model_name.clone(),
            text: TextAmount::default(),
            usual_input_tokens: 0,
            is_continuation: true,
        };
        let has_ended = seen.ended_run().is_some();
        let calls = seen.report(&asked).filter(MessageUsage::is_itemized);
        let mut has_news = calls.is_some();
        if let Some(calls) = calls {
            deliver(ledger, &run.source, self.named(calls)).await;
        }
        if let Some(whole) = seen.total(&asked) {
            has_news |= deliver_rest(ledger, &run.source, self.named(whole)).await;
        }
        if has_ended {
            return forget(ledger, &run.source, &run.run_id).await;
        }
        if let Some(pause) = seen.pause()
            && (has_news || !was_only_looked_at)
        {
            remember(ledger, &run.source, &run.user_id, &run.dify_user, &pause).await;
        }
        self.leave().await;
    }

    /// Of a run that has ended Dify tells only the run's id, under which a chatflow's message need not
    /// be known.
    fn named(&self, mut message: MessageUsage) -> MessageUsage {
        let known = &self.run.message_id;
        if message.message_id == self.run.run_id && message.message_id != *known {
            let run_id = std::mem::replace(&mut message.message_id, known.clone());
            message.also_known_as.push(run_id);
        }
        message
    }

    async fn leave(&self) {
        if let Err(error) = self.gateway.http.ledger().leave_paused(&self.run).await {
            self.warn(&error);
        }
    }

    fn warn(&self, why: &dyn std::fmt::Display) {
        let (source, run) = (&self.run.source.name, &self.run.run_id);
        tracing::warn!(source, run, "the paused run {run} of {source}: {why}");
    }
}

impl Following {
    /// The run goes on: reads and charges it, and frees what was held for it.
    pub(super) async fn go_on(self, hold: Option<String>) {
        let (http, user) = (
            self.follow.gateway.http.clone(),
            self.follow.run.user_id.clone(),
        );
        let seen = self.follow.read(self.events).await;
        self.follow.settle(seen, false).await;
        metered::release(http.ledger(), &user, hold.as_deref()).await;
    }

    /// It does not go on.
    pub(super) async fn give_up(self) {
        self.follow.leave().await;
    }
}
