//! Who changed what, written in the transaction of the change.

use serde::Serialize;
use shared::api::{AuditEntry, Page};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use crate::Ledger;
use crate::error::Result;
use crate::page;

/// Who acts, and from where: an address, or `command line`.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: String,
    pub origin: String,
}

pub(crate) async fn record(
    tx: &mut PgConnection,
    actor: &Actor,
    action: &str,
    subject: &str,
    before: Option<&(impl Serialize + Sync)>,
    after: Option<&(impl Serialize + Sync)>,
) -> Result<()> {
    sqlx::query(
        "insert into audit_log (actor, origin, action, subject, before, after)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&actor.name)
    .bind(&actor.origin)
    .bind(action)
    .bind(subject)
    .bind(before.map(Json))
    .bind(after.map(Json))
    .execute(tx)
    .await?;
    Ok(())
}

/// For changes that have no state before or after.
pub(crate) const NOTHING: Option<&()> = None;

impl Ledger {
    /// The audit log, newest first.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `cursor`.
    pub async fn audit_log(&self, cursor: Option<&str>, limit: u32) -> Result<Page<AuditEntry>> {
        let before = page::cursor::<i64>(cursor)?.unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "select audit_id, at, actor, origin, action, subject, before, after
             from audit_log where audit_id < $1 order by audit_id desc limit $2",
        )
        .bind(before)
        .bind(i64::from(limit) + 1)
        .fetch_all(self.pool())
        .await?;
        page::build(&rows, limit, |row| {
            let entry = AuditEntry {
                at: row.try_get::<time::OffsetDateTime, _>("at")?.into(),
                actor: row.try_get("actor")?,
                origin: row.try_get("origin")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                before: row.try_get("before")?,
                after: row.try_get("after")?,
            };
            Ok((row.try_get::<i64, _>("audit_id")?.to_string(), entry))
        })
    }
}
