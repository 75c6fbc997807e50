//! Writes what was decided.

use sqlx::PgConnection;

use super::batch::{Batch, Release, Waiting};
use crate::error::Result;
use crate::store;
use crate::store::audit_log as audit;
use crate::store::quarantine::NewWaiting;
use crate::store::write::Rows;

/// In one statement, of accounts that are not locked: `false`, and nothing is written, when what it
/// was computed from has changed.
pub(super) async fn write_at_once(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    price_revision: i64,
) -> Result<bool> {
    let rows = Rows {
        holds: batch.settled.clone(),
        ..rows(batch)
    };
    store::write::write_at_once(connection, batch.now(), &rows, price_revision).await
}

/// Under the locks of its accounts.
pub(super) async fn write_locked(tx: &mut PgConnection, batch: &Batch<'_>) -> Result<()> {
    let now = batch.now();
    for waiting in &batch.new_waiting {
        store::quarantine::insert(tx, &waiting.row()).await?;
    }
    // Fails on a claim or an event's number when another process has won it: the group is tried again.
    store::write::write(tx, now, &rows(batch)).await?;
    store::hold::settle(tx, now, &batch.settled).await?;
    for release in &batch.released {
        write_release(tx, batch, release).await?;
    }
    for (actor, message) in &batch.reviewed {
        let action = "completeness.charge";
        audit::record(
            &mut *tx,
            actor,
            action,
            &message.message_id,
            audit::NOTHING,
            Some(message),
        )
        .await?;
    }
    Ok(())
}

/// In the order in which others write them too, so that two that meet wait for each other in one
/// direction.
fn rows<'a>(batch: &'a Batch<'_>) -> Rows<'a> {
    let mut rows = batch.accounts.rows();
    rows.claims.clone_from(&batch.claims);
    rows.claims.sort_unstable_by_key(|claim| claim.id);
    rows.events.clone_from(&batch.events);
    rows.events
        .sort_by_key(|event| (event.message, event.number));
    rows.deliveries.clone_from(&batch.deliveries);
    rows
}

async fn write_release(
    tx: &mut PgConnection,
    batch: &Batch<'_>,
    release: &Release<'_>,
) -> Result<()> {
    let by = release
        .resolution
        .and_then(|resolution| resolution.by.as_ref());
    let name = by.map(|(actor, _)| actor.name.as_str());
    store::quarantine::mark_charged(tx, release.quarantine_id, batch.now(), name).await?;
    if let Some((actor, reported)) = by {
        let subject = &release.message.message_id;
        audit::record(
            &mut *tx,
            actor,
            "quarantine.charge",
            subject,
            reported.as_ref(),
            Some(release.message),
        )
        .await?;
    }
    Ok(())
}

impl Waiting<'_> {
    fn row(&self) -> NewWaiting<'_> {
        let delivery = self.delivery;
        let calls = delivery.message.calls.iter();
        NewWaiting {
            quarantine_id: self.quarantine_id,
            namespace_id: delivery.source.namespace_id,
            api_key_id: delivery.source.id,
            entrance: delivery.entrance.as_str(),
            received_at: delivery.received_at.moment(),
            reason: self.reason.as_str(),
            message: self.message.0,
            number: i32::try_from(self.number).unwrap_or(i32::MAX),
            model_keys: calls.map(|call| call.model_name.key()).collect(),
            hold_id: delivery.hold_id,
            report: &delivery.message,
            continues: delivery.continues,
            body: &delivery.body,
        }
    }
}
