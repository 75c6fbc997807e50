//! Traces and their parts.

use std::sync::Arc;

use serde_json::{Map, Value};
use shared::formats::langfuse::Part;
use shared::source::SourceSettings;
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::api_key::ApiKey;
use crate::records::trace::{Trace, TracePart};

/// A trace that is due, with one of its parts; without any when all were reported long ago.
#[derive(sqlx::FromRow)]
struct DuePartRow {
    namespace_id: i64,
    trace_id: String,
    api_key_id: Uuid,
    revision: i64,
    now: OffsetDateTime,
    name: String,
    settings: Json<SourceSettings>,
    #[sqlx(flatten)]
    part: PartRow,
}

#[derive(sqlx::FromRow)]
struct PartRow {
    part_id: Option<String>,
    part: Option<Json<Part>>,
    body: Option<String>,
    received_at: Option<OffsetDateTime>,
    is_reported: bool,
}

impl DuePartRow {
    /// The trace without its parts.
    fn begin(&self) -> Trace {
        let name = self.name.clone();
        Trace {
            source: Arc::new(ApiKey::recorded(self.api_key_id, self.namespace_id, name)),
            assumed_model: self.settings.model_name.clone(),
            trace_id: self.trace_id.clone(),
            revision: self.revision,
            now: self.now,
            parts: Vec::new(),
        }
    }
}

impl PartRow {
    fn into_part(self) -> Option<TracePart> {
        let Json(part) = self.part?;
        Some(TracePart {
            part_id: self.part_id?,
            part,
            body: self.body?,
            received_at: self.received_at?,
            is_reported: self.is_reported,
        })
    }
}

/// Parts to be stored, as columns of the same length.
#[derive(Default)]
pub(crate) struct PartColumns<'a> {
    pub trace_ids: Vec<&'a str>,
    pub part_ids: Vec<&'a str>,
    pub parts: Vec<Json<Map<String, Value>>>,
    pub bodies: Vec<String>,
}

/// Notes that traces have grown, in the order of their ids, because each row is locked until the
/// commit.
pub(crate) async fn touch(
    executor: impl PgExecutor<'_>,
    source: &ApiKey,
    trace_ids: &[&str],
) -> Result<()> {
    sqlx::query(
        "insert into trace (namespace_id, trace_id, api_key_id)
         select $1, trace_id, $2 from unnest($3::text[]) trace_id order by trace_id
         on conflict (namespace_id, trace_id) do update
             set revision = trace.revision + 1, seen_at = now(), due_at = now()",
    )
    .bind(source.namespace_id)
    .bind(source.id)
    .bind(trace_ids)
    .execute(executor)
    .await?;
    Ok(())
}

/// Lays parts over what is known of them; one that changes is to be reported again.
pub(crate) async fn merge_parts(
    executor: impl PgExecutor<'_>,
    namespace_id: i64,
    columns: &PartColumns<'_>,
) -> Result<()> {
    sqlx::query(
        "insert into trace_part (namespace_id, trace_id, part_id, part, body)
         select $1, * from unnest($2::text[], $3::text[], $4::jsonb[], $5::text[])
         on conflict (namespace_id, trace_id, part_id) do update
             set part = trace_part.part || excluded.part, body = excluded.body,
                 received_at = now(), reported_at = null
             where (trace_part.part || excluded.part) - 'occurredAt'
                 <> trace_part.part - 'occurredAt'",
    )
    .bind(namespace_id)
    .bind(&columns.trace_ids)
    .bind(&columns.part_ids)
    .bind(&columns.parts)
    .bind(&columns.bodies)
    .execute(executor)
    .await?;
    Ok(())
}

/// The traces that are due, `traces_max` at most. Parts that were reported long ago can only be copies
/// of what comes now, and are left out.
pub(crate) async fn due(executor: impl PgExecutor<'_>, traces_max: i64) -> Result<Vec<Trace>> {
    let rows: Vec<DuePartRow> = sqlx::query_as(
        "with due as (
             select * from trace where due_at <= now() order by due_at limit $1
         )
         select due.*, now() as now, k.name, k.settings, p.part_id, p.part, p.body,
             p.received_at, p.reported_at is not null as is_reported
         from due
         join api_key k using (api_key_id)
         left join lateral (
             select * from trace_part p
             where (p.namespace_id, p.trace_id) = (due.namespace_id, due.trace_id)
                 and (p.reported_at is null or p.received_at > now() - interval '1 hour')
             order by p.reported_at nulls first limit 2000
         ) p on true
         order by due.namespace_id, due.trace_id, p.received_at, p.part_id",
    )
    .bind(traces_max)
    .fetch_all(executor)
    .await?;
    let mut traces: Vec<Trace> = Vec::new();
    for row in rows {
        let is_same = |trace: &Trace| trace.is(row.namespace_id, &row.trace_id);
        if !traces.last().is_some_and(is_same) {
            traces.push(row.begin());
        }
        if let (Some(trace), Some(part)) = (traces.last_mut(), row.part.into_part()) {
            trace.parts.push(part);
        }
    }
    Ok(traces)
}

/// Parts that changed meanwhile are not what was reported.
pub(crate) async fn mark_reported(
    executor: impl PgExecutor<'_>,
    namespace_id: i64,
    trace_id: &str,
    part_ids: &[&str],
    received_at: &[OffsetDateTime],
) -> Result<()> {
    sqlx::query(
        "update trace_part p set reported_at = now()
         from unnest($3::text[], $4::timestamptz[]) seen (part_id, received_at)
         where p.namespace_id = $1 and p.trace_id = $2
             and (p.part_id, p.received_at) = (seen.part_id, seen.received_at)",
    )
    .bind(namespace_id)
    .bind(trace_id)
    .bind(part_ids)
    .bind(received_at)
    .execute(executor)
    .await?;
    Ok(())
}

/// Names the next time, unless something has arrived meanwhile: then it is due at once.
pub(crate) async fn set_due(
    executor: impl PgExecutor<'_>,
    namespace_id: i64,
    trace_id: &str,
    revision: i64,
    at: Option<OffsetDateTime>,
) -> Result<()> {
    sqlx::query!(
        "update trace set due_at = $4
         where namespace_id = $1 and trace_id = $2 and revision = $3",
        namespace_id,
        trace_id,
        revision,
        at
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Removes traces that were delivered days ago.
pub(crate) async fn delete_old(executor: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!("delete from trace where due_at is null and seen_at < now() - interval '3 days'")
        .execute(executor)
        .await?;
    Ok(())
}
