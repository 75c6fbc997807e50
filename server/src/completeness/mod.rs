//! Asks Dify's own API what it served, for the apps behind gateway sources.

mod served;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use app::CheckServed;
use dify_client::Dify;
use ledger::{ApiKey, Ledger};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::source::SourceEntrance;
use time::{OffsetDateTime, Time};
use tracing::warn;

use served::Served;

/// What is younger may still be on its way.
const GRACE: time::Duration = time::Duration::minutes(10);
/// Days that the recurring check looks back, beside the one that has begun.
const DAYS_BACK: i64 = 2;
const BETWEEN_CHECKS_SECONDS: u32 = 6 * 60 * 60;
const TICK: Duration = Duration::from_secs(60);

/// Checks every source now and then, for as long as it is polled. Any number of processes may run
/// it; each check is done by one.
pub async fn run(ledger: Ledger, client: Dify) {
    loop {
        tokio::time::sleep(TICK).await;
        if let Err(error) = check_due(&ledger, &client).await {
            warn!(%error, "completeness was not checked");
        }
    }
}

/// Checks the sources whose turn it is.
///
/// # Errors
/// When the ledger cannot be asked; what goes wrong with a source is noted there.
pub async fn check_due(ledger: &Ledger, client: &Dify) -> Result<()> {
    for source in ledger.sources().await? {
        if source.entrance != SourceEntrance::Gateway || source.revoked_at.is_some() {
            continue;
        }
        let begun = ledger.begin_completeness_check(source.id, BETWEEN_CHECKS_SECONDS);
        if !begun.await? {
            continue;
        }
        let key = ledger.gateway_source(Some(&source.name)).await?;
        let now = OffsetDateTime::now_utc();
        let since = Timestamp::new(now - time::Duration::days(DAYS_BACK));
        check_and_note(ledger, client, &key, since).await?;
    }
    Ok(())
}

/// For administrators who want to know now. A check goes on when whoever asked for it has left.
#[must_use]
pub fn on_demand(ledger: Ledger, client: Dify) -> CheckServed {
    Arc::new(move |source, since| {
        let (ledger, client) = (ledger.clone(), client.clone());
        Box::pin(async move {
            // Whatever became of the one before: this one is now under way.
            ledger.begin_completeness_check(source.id, 0).await?;
            let checked =
                tokio::spawn(async move { check_and_note(&ledger, &client, &source, since).await });
            checked.await.map_err(|_| ledger::Error::Stopped)?
        })
    })
}

/// As [`check`]; why it failed is noted in the ledger.
async fn check_and_note(
    ledger: &Ledger,
    client: &Dify,
    source: &ApiKey,
    since: Timestamp,
) -> ledger::Result<()> {
    let Err(error) = check(ledger, client, source, since, &[]).await else {
        return Ok(());
    };
    let why = format!("{error:#}");
    warn!(
        source = source.name,
        error = why,
        "completeness was not checked"
    );
    ledger.completeness_check_failed(source.id, &why).await
}

/// Compares what an app served since the beginning of a day with what arrived. Beside the users that
/// the source has reported, others may be named.
///
/// # Errors
/// When Dify does not answer as it should.
pub async fn check(
    ledger: &Ledger,
    client: &Dify,
    source: &ApiKey,
    since: Timestamp,
    others: &[UserId],
) -> Result<()> {
    let since = Timestamp::new(since.moment().replace_time(Time::MIDNIGHT));
    let mut users = ledger.users_of_source(source, since).await?;
    users.extend(others.iter().cloned());
    users.sort_unstable();
    users.dedup();
    let address = source.settings.upstream_url.as_deref();
    let address = address.ok_or_else(|| anyhow!("{} has no server behind it", source.name))?;
    let key = source.upstream_key.as_deref().unwrap_or_default();
    let served = Served {
        app: client.app(address, key)?,
        since,
        until: Timestamp::new(OffsetDateTime::now_utc() - GRACE),
    };
    let served = served.by(&users).await?;
    ledger.compare_served(source, &served).await?;
    Ok(())
}
