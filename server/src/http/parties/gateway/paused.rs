//! What is kept of a paused run, and what its rest costs.

use std::sync::Arc;
use std::time::Duration;

use ledger::{ApiKey, Delivery, Entrance, Ledger};
use shared::formats::dify_stream::Pause;
use shared::ids::UserId;
use shared::usage::MessageUsage;
use tokio::time::sleep;

use crate::http::plumbing::metered;

/// A run that could not be remembered is tried again, so often.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

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

/// Charges what a run has used since it was paused.
pub(super) async fn deliver(ledger: &Ledger, source: &Arc<ApiKey>, message: MessageUsage) {
    let mut delivery = Delivery::own(Arc::clone(source), Entrance::Gateway, message);
    delivery.continues = true;
    metered::deliver(ledger, delivery).await;
}
