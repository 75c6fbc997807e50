//! Traces: kept part by part as they arrive, and delivered as messages once their parts are there.
//! What is accepted is committed; one process at a time joins and delivers it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Map, Value};
use shared::clock::Timestamp;
use shared::langfuse::{Joined, Part, Report, Seen, Told, join};
use shared::problem::Problem;
use shared::source::SourceSettings;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use tracing::error;

use crate::error::{Error, Result};
use crate::{ApiKey, Delivery, Entrance, Ledger};

/// How long a trace whose end is not announced is left alone after its last part, so that the calls
/// of a workflow become one message.
const QUIET: Duration = Duration::from_secs(2);
/// How long a part waits for that at most: a trace id may be used again and again.
const UNQUIET_MAX: Duration = Duration::from_secs(10);
/// How long parts wait for those that are missing. Dify sends them within seconds of each other.
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Traces looked at together.
const TRACES_MAX: i64 = 100;
/// Larger events are kept without their texts.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// One event about a trace, as received.
#[derive(Debug, Clone)]
pub struct TraceEvent {
    pub told: Told,
    pub raw: String,
}

/// What is known of a part.
struct Known {
    part_id: String,
    part: Part,
    body: String,
    received_at: OffsetDateTime,
    is_reported: bool,
}

/// A trace that is due, and those of its parts that still matter.
struct Trace {
    source: Arc<ApiKey>,
    settings: SourceSettings,
    trace_id: String,
    revision: i64,
    now: OffsetDateTime,
    parts: Vec<Known>,
}

impl Ledger {
    /// Keeps events about traces; those about one part are laid over each other. Returns after the
    /// commit that contains them.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn take_traces(&self, source: &ApiKey, events: &[TraceEvent]) -> Result<()> {
        let mut parts: BTreeMap<_, (Map<String, Value>, String)> = BTreeMap::new();
        for TraceEvent { told, raw } in events {
            let Ok(Value::Object(part)) = serde_json::to_value(&told.part) else {
                return Err(Error::corrupt("a part of a trace is no object"));
            };
            let known = parts
                .entry((told.trace_id.as_str(), told.part_id.as_str()))
                .or_default();
            known.0.extend(part);
            known.1 = kept(raw);
        }
        let mut traces: Vec<_> = parts.keys().map(|(trace, _)| *trace).collect();
        traces.dedup();
        let (ids, told): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let (trace_ids, part_ids): (Vec<_>, Vec<_>) = ids.into_iter().unzip();
        let (parts, bodies): (Vec<_>, Vec<_>) = told.into_iter().unzip();
        let mut tx = self.pool().begin().await?;
        // In the order of their ids, because each row is locked until the commit.
        sqlx::query(
            "insert into trace (namespace_id, trace_id, api_key_id)
             select $1, trace_id, $2 from unnest($3::text[]) trace_id order by trace_id
             on conflict (namespace_id, trace_id) do update
                 set revision = trace.revision + 1, seen_at = now(), due_at = now()",
        )
        .bind(source.namespace_id)
        .bind(source.id)
        .bind(traces)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into trace_part (namespace_id, trace_id, part_id, part, body)
             select $1, * from unnest($2::text[], $3::text[], $4::jsonb[], $5::text[])
             on conflict (namespace_id, trace_id, part_id) do update
                 set part = trace_part.part || excluded.part, body = excluded.body,
                     received_at = now(), reported_at = null
                 where (trace_part.part || excluded.part) - 'occurredAt'
                     <> trace_part.part - 'occurredAt'",
        )
        .bind(source.namespace_id)
        .bind(trace_ids)
        .bind(part_ids)
        .bind(parts.into_iter().map(Json).collect::<Vec<_>>())
        .bind(bodies)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Delivers traces for as long as it is polled.
    pub(crate) async fn deliver_traces(&self) -> Result<()> {
        loop {
            let looked_at = self.deliver_due_traces().await.unwrap_or_else(|error| {
                error!(%error, "traces were not delivered");
                0
            });
            if looked_at < usize::try_from(TRACES_MAX).unwrap_or(usize::MAX) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// How many traces it has looked at.
    async fn deliver_due_traces(&self) -> Result<usize> {
        // Parts that were reported long ago can only be copies of what comes now.
        let rows = sqlx::query(
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
        .bind(TRACES_MAX)
        .fetch_all(self.pool())
        .await?;
        let mut traces: Vec<Trace> = Vec::new();
        for row in &rows {
            let (namespace_id, trace_id) = (row.try_get("namespace_id")?, row.try_get("trace_id")?);
            if !traces
                .last()
                .is_some_and(|trace| trace.is(namespace_id, trace_id))
            {
                traces.push(Trace::begin(row)?);
            }
            if let (Some(trace), Some(part)) = (traces.last_mut(), known(row)?) {
                trace.parts.push(part);
            }
        }
        let results = join_all(traces.iter().map(|trace| self.deliver_trace(trace))).await;
        for (trace, result) in traces.iter().zip(results) {
            if let Err(error) = result {
                error!(trace = trace.trace_id, %error, "a trace was not delivered");
                self.look_again(trace, Some(trace.now + PAUSE_AFTER_FAILURE))
                    .await?;
            }
        }
        Ok(traces.len())
    }

    async fn deliver_trace(&self, trace: &Trace) -> Result<()> {
        let joined = trace.join();
        if let Some(later) = trace.quiet_at(&joined) {
            return self.look_again(trace, Some(later)).await;
        }
        let is_new = |report: &&Report| {
            let mut parts = trace.parts_at(&report.parts);
            parts.any(|part| !part.is_reported)
        };
        let reports = joined.messages.iter().filter(is_new);
        let delivered = reports.map(async |report| {
            let delivery = Delivery::new(
                Arc::clone(&trace.source),
                Entrance::Langfuse,
                report.message.clone(),
                trace.body(&report.parts),
                trace.arrived_at(&report.parts),
            );
            match self.deliver(delivery).await {
                // A conflict is on record.
                Ok(_) | Err(Error::Problem(Problem::MessageConflict { .. })) => {
                    self.mark_reported(trace, &report.parts).await
                }
                Err(error) => Err(error),
            }
        });
        join_all(delivered)
            .await
            .into_iter()
            .collect::<Result<()>>()?;
        let (missing, waiting): (Vec<usize>, Vec<usize>) = joined
            .incomplete
            .iter()
            .partition(|place| trace.parts_at(&[**place]).any(|part| trace.is_old(part)));
        let is_known = |place: &usize| trace.parts_at(&[*place]).any(|part| part.is_reported);
        if !missing.iter().all(is_known) {
            let at = trace.arrived_at(&missing);
            self.keep_incomplete(&trace.source, &trace.body(&missing), at)
                .await?;
            self.mark_reported(trace, &missing).await?;
        }
        let waiting = trace.parts_at(&waiting).map(|part| part.received_at);
        self.look_again(trace, waiting.min().map(|since| since + PATIENCE))
            .await
    }

    /// Parts that changed meanwhile are not what was reported.
    async fn mark_reported(&self, trace: &Trace, places: &[usize]) -> Result<()> {
        let parts = trace.parts_at(places);
        let (ids, times): (Vec<_>, Vec<_>) = parts
            .map(|part| (part.part_id.as_str(), part.received_at))
            .unzip();
        sqlx::query(
            "update trace_part p set reported_at = now()
             from unnest($3::text[], $4::timestamptz[]) seen (part_id, received_at)
             where p.namespace_id = $1 and p.trace_id = $2
                 and (p.part_id, p.received_at) = (seen.part_id, seen.received_at)",
        )
        .bind(trace.source.namespace_id)
        .bind(&trace.trace_id)
        .bind(ids)
        .bind(times)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Names the next time, unless something has arrived meanwhile: then it is due at once.
    async fn look_again(&self, trace: &Trace, at: Option<OffsetDateTime>) -> Result<()> {
        sqlx::query(
            "update trace set due_at = $4
             where namespace_id = $1 and trace_id = $2 and revision = $3",
        )
        .bind(trace.source.namespace_id)
        .bind(&trace.trace_id)
        .bind(trace.revision)
        .bind(at)
        .execute(self.pool())
        .await?;
        Ok(())
    }
}

impl Trace {
    fn begin(row: &PgRow) -> Result<Self> {
        let source = ApiKey::recorded(
            row.try_get("api_key_id")?,
            row.try_get("namespace_id")?,
            row.try_get("name")?,
        );
        let Json(settings) = row.try_get("settings")?;
        Ok(Self {
            source: Arc::new(source),
            settings,
            trace_id: row.try_get("trace_id")?,
            revision: row.try_get("revision")?,
            now: row.try_get("now")?,
            parts: Vec::new(),
        })
    }

    fn is(&self, namespace_id: i64, trace_id: &str) -> bool {
        self.source.namespace_id == namespace_id && self.trace_id == trace_id
    }

    fn is_old(&self, part: &Known) -> bool {
        part.received_at + PATIENCE <= self.now
    }

    fn join(&self) -> Joined {
        let seen: Vec<Seen<'_>> = self
            .parts
            .iter()
            .map(|known| Seen {
                part: &known.part,
                is_old: self.is_old(known),
            })
            .collect();
        join(&self.trace_id, &seen, self.settings.model_name.as_ref())
    }

    /// Until when more is likely to come; `None` when it need not be waited for.
    fn quiet_at(&self, joined: &Joined) -> Option<OffsetDateTime> {
        let unreported = self.parts.iter().filter(|part| !part.is_reported);
        let times: Vec<_> = unreported.map(|part| part.received_at).collect();
        let quiet = *times.iter().max()? + QUIET;
        let at_last = *times.iter().min()? + UNQUIET_MAX;
        let at = quiet.min(at_last);
        (!joined.is_complete && at > self.now).then_some(at)
    }

    fn parts_at<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = &'a Known> {
        places.iter().filter_map(|place| self.parts.get(*place))
    }

    /// When the first of some parts came.
    fn arrived_at(&self, places: &[usize]) -> Timestamp {
        let times = self.parts_at(places).map(|part| part.received_at);
        times.min().unwrap_or(self.now).into()
    }

    /// The events of some parts, as a batch like those that brought them.
    fn body(&self, places: &[usize]) -> Vec<u8> {
        let events: Vec<_> = self
            .parts_at(places)
            .map(|part| part.body.as_str())
            .collect();
        format!(r#"{{"batch":[{}]}}"#, events.join(",")).into_bytes()
    }
}

/// A part; none when all of the trace's parts were reported long ago.
fn known(row: &PgRow) -> Result<Option<Known>> {
    let Some(part_id) = row.try_get("part_id")? else {
        return Ok(None);
    };
    let Json(part) = row.try_get("part")?;
    Ok(Some(Known {
        part_id,
        part,
        body: row.try_get("body")?,
        received_at: row.try_get("received_at")?,
        is_reported: row.try_get("is_reported")?,
    }))
}

/// An event without the texts that made it large.
fn kept(raw: &str) -> String {
    if raw.len() <= BODY_BYTES_MAX {
        return raw.to_owned();
    }
    let mut event: Value = serde_json::from_str(raw).unwrap_or_default();
    if let Some(Value::Object(body)) = event.get_mut("body") {
        body.remove("input");
        body.remove("output");
    }
    let kept = event.to_string();
    match kept.len() <= BODY_BYTES_MAX {
        true => kept,
        false => "{}".to_owned(),
    }
}
