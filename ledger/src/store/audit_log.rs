//! Who changed what, written in the transaction of the change.

use serde::Serialize;
use shared::api::AuditEntry;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use crate::error::Result;
use crate::records::actor::Actor;

/// For changes that have no state before or after.
pub(crate) const NOTHING: Option<&()> = None;

pub(crate) struct AuditRow {
    pub audit_id: i64,
    at: OffsetDateTime,
    actor: String,
    origin: String,
    action: String,
    subject: String,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            at: row.at.into(),
            actor: row.actor,
            origin: row.origin,
            action: row.action,
            subject: row.subject,
            before: row.before,
            after: row.after,
        }
    }
}

pub(crate) async fn record(
    tx: &mut PgConnection,
    actor: &Actor,
    action: &str,
    subject: &str,
    before: Option<&(impl Serialize + Sync)>,
    after: Option<&(impl Serialize + Sync)>,
) -> Result<()> {
    sqlx::query!(
        "insert into audit_log (actor, origin, action, subject, before, after)
         values ($1, $2, $3, $4, $5, $6)",
        actor.name,
        actor.origin,
        action,
        subject,
        before.map(Json) as _,
        after.map(Json) as _
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The newest rows before one, `rows_max` at most.
pub(crate) async fn before(
    executor: impl PgExecutor<'_>,
    audit_id: i64,
    rows_max: i64,
) -> Result<Vec<AuditRow>> {
    Ok(sqlx::query_as!(
        AuditRow,
        "select audit_id, at, actor, origin, action, subject, before, after
         from audit_log where audit_id < $1 order by audit_id desc limit $2",
        audit_id,
        rows_max
    )
    .fetch_all(executor)
    .await?)
}
