//! Keys with their namespaces and what each delivered last.

use shared::source::SourceSettings;
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::outcome::outcome;
use crate::records::scope::Scope;
use crate::records::source::{LastDelivery, SourceSummary};

#[derive(sqlx::FromRow)]
struct SourceRow {
    api_key_id: Uuid,
    name: String,
    scope: String,
    namespace: String,
    prefix: String,
    settings: Json<SourceSettings>,
    created_at: OffsetDateTime,
    created_by: String,
    revoked_at: Option<OffsetDateTime>,
    received_at: Option<OffsetDateTime>,
    outcome: Option<String>,
    reason: Option<String>,
}

impl TryFrom<SourceRow> for SourceSummary {
    type Error = Error;

    fn try_from(row: SourceRow) -> Result<Self> {
        let scope: Scope = row.scope.parse().map_err(Error::Corrupt)?;
        let last_delivery = match (row.received_at, &row.outcome) {
            (Some(received_at), Some(text)) => Some(LastDelivery {
                received_at: received_at.into(),
                outcome: outcome(text)?,
                reason: row.reason,
            }),
            _ => None,
        };
        Ok(Self {
            id: row.api_key_id,
            name: row.name,
            entrance: scope
                .entrance()
                .ok_or_else(|| Error::corrupt(format!("a source of scope {scope}")))?,
            namespace: row.namespace,
            prefix: row.prefix,
            settings: row.settings.0,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            revoked_at: row.revoked_at.map(Into::into),
            last_delivery,
        })
    }
}

/// All sources, newest first.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<SourceSummary>> {
    let rows: Vec<SourceRow> = sqlx::query_as(
        "select k.*, n.name as namespace, d.received_at, d.outcome, d.reason
         from api_key k
         join namespace n using (namespace_id)
         left join lateral (
             select * from (
                 (select tx, received_at, outcome, reason from delivery
                  where api_key_id = k.api_key_id order by tx desc, id desc limit 1)
                 union all
                 (select tx, recorded_at, 'charged', null from journal_entry
                  where api_key_id = k.api_key_id order by tx desc limit 1)
             ) last order by tx desc limit 1
         ) d on true
         where k.scope not in ('points', 'admin') order by k.api_key_id desc",
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(SourceSummary::try_from).collect()
}
