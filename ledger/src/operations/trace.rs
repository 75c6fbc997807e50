//! Events about traces, kept part by part as they arrive.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::types::Json;

use crate::error::{Error, Result};
use crate::operations::ledger::Ledger;
use crate::records::api_key::ApiKey;
use crate::records::trace::TraceEvent;
use crate::store::trace::{self, PartColumns};

/// Larger events are kept without their texts.
const BODY_BYTES_MAX: usize = 64 * 1024;

impl Ledger {
    /// Keeps events about traces; those about one part are laid over each other. Returns after the
    /// commit that contains them.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn take_traces(&self, source: &ApiKey, events: &[TraceEvent]) -> Result<()> {
        let columns = columns(events)?;
        let mut trace_ids = columns.trace_ids.clone();
        trace_ids.dedup();
        let mut tx = self.pool().begin().await?;
        trace::touch(&mut *tx, source, &trace_ids).await?;
        trace::merge_parts(&mut *tx, source.namespace_id, &columns).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The parts that events tell of, each once, in the order of their ids.
fn columns(events: &[TraceEvent]) -> Result<PartColumns<'_>> {
    let mut parts: BTreeMap<_, (Map<String, Value>, String)> = BTreeMap::new();
    for TraceEvent { told, raw } in events {
        let Ok(Value::Object(part)) = serde_json::to_value(&told.part) else {
            return Err(Error::corrupt("a part of a trace is no object"));
        };
        let known = parts
            .entry((told.trace_id.as_str(), told.part_id.as_str()))
            .or_default();
        known.0.extend(part);
        known.1 = without_texts(raw);
    }
    let mut columns = PartColumns::default();
    for ((trace_id, part_id), (part, body)) in parts {
        columns.trace_ids.push(trace_id);
        columns.part_ids.push(part_id);
        columns.parts.push(Json(part));
        columns.bodies.push(body);
    }
    Ok(columns)
}

/// An event without the texts that made it large.
fn without_texts(raw: &str) -> String {
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
