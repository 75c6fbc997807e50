//! Paused runs are followed to their end, whether or not a client does: from the moment a form is
//! submitted here, and by looking now and then where it was submitted elsewhere. Whatever a client
//! reads at the same time tells of the same calls, which the ledger charges once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use futures::StreamExt as _;
use ledger::{ApiKey, Delivery, Entrance, Ledger, PausedRun, Taken};
use reqwest::{Request, Response, Url};
use shared::dify::{Asked, MessageUsage, Meter, Pause, Seen, Text};
use shared::ids::UserId;
use shared::problem::Problem;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{interval, sleep, timeout};

use crate::http::{Http, metered, upstream};

/// Runs that one process follows at once.
pub const FOLLOWED_MAX: usize = 64;
const BUSY: Problem = Problem::Busy {
    retry_after_seconds: 5,
};
const TICK: Duration = Duration::from_secs(1);
/// A person waits for it when a form is submitted.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// Longer than Dify lets a run take.
const READ_MAX: Duration = Duration::from_secs(30 * 60);
/// Well before the run is taken for that of a dead process.
const RENEWAL: Duration = Duration::from_secs(15);
/// A run that could not be remembered is tried again, so often.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

/// Looks after paused runs for as long as it is polled. Any number of processes may run it.
pub async fn run(http: Http) {
    loop {
        sleep(TICK).await;
        if let Err(error) = look(&http).await {
            tracing::warn!(%error, "paused runs were not looked at: {error}");
        }
    }
}

async fn look(http: &Http) -> ledger::Result<()> {
    let ledger = http.ledger();
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
    let free = http.0.followers.available_permits();
    let limit = u32::try_from(free).unwrap_or(u32::MAX);
    if limit == 0 {
        return Ok(());
    }
    for run in ledger.take_due_paused(limit).await? {
        match Follow::of(http, &run) {
            Some(follow) => drop(http.0.calls.spawn(follow.look())),
            None => ledger.leave_paused(&run).await?,
        }
    }
    Ok(())
}

/// A run that this process has taken.
pub(super) struct Follow {
    http: Http,
    run: PausedRun,
    _permit: OwnedSemaphorePermit,
}

/// A run whose events are on their way.
pub(super) struct Following {
    follow: Follow,
    events: Response,
}

impl Follow {
    fn of(http: &Http, run: &PausedRun) -> Option<Self> {
        let permit = Arc::clone(&http.0.followers).try_acquire_owned().ok()?;
        Some(Self {
            http: http.clone(),
            run: run.clone(),
            _permit: permit,
        })
    }

    /// Reads what is to come of a run before it goes on, so that nothing of it is missed. `None` when
    /// it is followed already, or Dify does not tell of it.
    ///
    /// # Errors
    /// `Busy` when too many runs are followed: of what nobody reads, only a total would be known.
    pub(super) async fn begin(http: &Http, run: &PausedRun) -> Result<Option<Following>, Problem> {
        let follow = Self::of(http, run).ok_or(BUSY)?;
        match http.ledger().take_paused(run).await {
            Ok(Taken::Yes) => {}
            Ok(Taken::Elsewhere) => return Ok(None),
            Ok(Taken::ShareUsedUp) => return Err(BUSY),
            Err(error) => {
                follow.warn(&error);
                return Ok(None);
            }
        }
        match follow.events(false).await {
            Some(events) => Ok(Some(Following { follow, events })),
            None => {
                follow.leave().await;
                Ok(None)
            }
        }
    }

    /// Looks how far the run is, and reads on if it goes on.
    async fn look(self) {
        let Some(events) = self.events(true).await else {
            return self.leave().await;
        };
        let seen = self.read(events).await;
        self.settle(seen, true).await;
    }

    /// The run's events: those to come, or with those nodes before them that are known. Of a run that
    /// is still paused Dify then tells just that, of one that has ended its total.
    async fn events(&self, with_state: bool) -> Option<Response> {
        let request = self.request(with_state)?;
        let shutdown = &self.http.0.shutdown;
        let response = tokio::select! {
            response = timeout(HEAD_MAX, upstream::send(&self.http.0.upstream, request)) => response,
            () = shutdown.cancelled() => return None,
        };
        match response {
            Ok(Ok(response)) if response.status().is_success() => Some(response),
            Ok(Ok(response)) => {
                self.warn(&response.status());
                None
            }
            Ok(Err(fault)) => {
                self.warn(&fault);
                None
            }
            Err(_) => {
                self.warn(&upstream::Fault::Silent);
                None
            }
        }
    }

    fn request(&self, with_state: bool) -> Option<Request> {
        let source = &self.run.source;
        let mut url: Url = upstream::url(source, "", None)?;
        let path = ["workflow", &self.run.run_id, "events"];
        url.path_segments_mut().ok()?.extend(path);
        url.query_pairs_mut()
            .append_pair("user", &self.run.dify_user);
        if with_state {
            url.query_pairs_mut()
                .append_pair("include_state_snapshot", "true");
        }
        let mut request = Request::new(Method::GET, url);
        *request.headers_mut() = upstream::forwarded(&HeaderMap::new(), source)?;
        Some(request)
    }

    /// Reads until the run is paused again or has ended, the stream breaks off, or there is no use in
    /// it any longer.
    async fn read(&self, events: Response) -> Seen {
        let mut meter = Meter::stream();
        let mut chunks = upstream::chunks(events, self.http.0.upstream_silence_max);
        let mut renewal = interval(RENEWAL);
        let mut end = pin!(sleep(READ_MAX));
        while !meter.is_over() {
            tokio::select! {
                chunk = chunks.next() => match chunk {
                    Some(Ok(chunk)) => meter.read(&chunk),
                    Some(Err(fault)) => {
                        self.warn(&fault);
                        break;
                    }
                    None => break,
                },
                _ = renewal.tick() => {
                    if matches!(self.http.ledger().keep_paused(&self.run).await, Ok(false)) {
                        break;
                    }
                }
                // The run goes on in Dify, and whoever looks next finds it.
                () = self.http.0.shutdown.cancelled() => break,
                () = &mut end => break,
            }
        }
        meter.finish()
    }

    /// Charges what is new, and gives the run back or forgets it.
    async fn settle(self, seen: Seen, was_only_looked_at: bool) {
        let ledger = self.http.ledger();
        let run = &self.run;
        let asked = Asked {
            user_id: run.user_id.clone(),
            assumed_model: run.source.settings.model_name.clone(),
            text: Text::default(),
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
        if let Err(error) = self.http.ledger().leave_paused(&self.run).await {
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
        let (http, user) = (self.follow.http.clone(), self.follow.run.user_id.clone());
        let seen = self.follow.read(self.events).await;
        self.follow.settle(seen, false).await;
        metered::release(http.ledger(), &user, hold.as_deref()).await;
    }

    /// It does not go on.
    pub(super) async fn give_up(self) {
        self.follow.leave().await;
    }
}

/// Keeps a run that was paused.
pub(super) async fn remember(
    ledger: &Ledger,
    source: &ApiKey,
    user: &UserId,
    dify_user: &str,
    pause: &Pause,
) {
    let run = &pause.run_id;
    let mut wait = ATTEMPT_PAUSE;
    for _ in 0..ATTEMPTS_MAX {
        let Err(error) = ledger.remember_paused(source, user, dify_user, pause).await else {
            return;
        };
        tracing::warn!(%error, run, "the paused run {run} is not remembered yet: {error}");
        sleep(wait).await;
        wait *= 2;
    }
    let (source, user) = (&source.name, user.as_str());
    tracing::error!(
        source,
        user,
        run,
        "the paused run {run} of {user} at {source} is not followed: what it still uses is not charged"
    );
}

/// A run has ended and is charged. One that cannot be forgotten is looked at once more.
pub(super) async fn forget(ledger: &Ledger, source: &ApiKey, run: &str) {
    if let Err(error) = ledger.forget_paused(source, run).await {
        tracing::warn!(%error, run, "the ended run {run} was not forgotten: {error}");
    }
}

/// Charges the part of a run's total that is not on record; false when there is none. Whoever begins
/// to read in the middle of a run misses calls, which only the total tells of.
pub(super) async fn deliver_rest(
    ledger: &Ledger,
    source: &Arc<ApiKey>,
    whole: MessageUsage,
) -> bool {
    let known = ledger.tokens_on_record(source, &whole.message_id).await;
    // When that cannot be known now, the ledger finds out as it charges.
    let has_rest = known.map_or(true, |known| known < whole.total_tokens());
    if has_rest {
        deliver(ledger, source, whole).await;
    }
    has_rest
}

async fn deliver(ledger: &Ledger, source: &Arc<ApiKey>, message: MessageUsage) {
    let mut delivery = Delivery::told(Arc::clone(source), Entrance::Gateway, message);
    delivery.continues = true;
    metered::deliver(ledger, delivery).await;
}
