//! Traces are delivered as messages once their parts are there. What is accepted is committed; one
//! process at a time joins and delivers it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use shared::formats::langfuse::TraceMessage;
use time::OffsetDateTime;
use tracing::error;

use crate::charging::delivery::Delivery;
use crate::charging::queue::DeliveryRefusal;
use crate::error::{OperationError, Result};
use crate::operations::ledger::Ledger;
use crate::records::entrance::Entrance;
use crate::records::trace::{PATIENCE, Trace};
use crate::store::trace;

const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Traces looked at together.
const TRACES_MAX: i64 = 100;

impl Ledger {
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
        let traces = trace::due(self.pool(), TRACES_MAX).await?;
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
        let reports = joined.messages.iter();
        join_all(reports.map(|report| self.deliver_report(trace, report)))
            .await
            .into_iter()
            .collect::<Result<()>>()?;
        let (missing, waiting): (Vec<usize>, Vec<usize>) = joined
            .incomplete
            .iter()
            .partition(|place| trace.parts_at(&[**place]).any(|part| trace.is_old(part)));
        if trace.parts_at(&missing).any(|part| !part.is_reported) {
            let at = trace.arrived_at(&missing);
            self.keep_incomplete(&trace.source, &trace.body(&missing), at)
                .await?;
            self.mark_reported(trace, &missing).await?;
        }
        let waiting = trace.parts_at(&waiting).map(|part| part.received_at);
        self.look_again(trace, waiting.min().map(|since| since + PATIENCE))
            .await
    }

    /// Delivers a report, unless nothing in it is new.
    async fn deliver_report(&self, trace: &Trace, report: &TraceMessage) -> Result<()> {
        if trace.parts_at(&report.parts).all(|part| part.is_reported) {
            return Ok(());
        }
        let delivery = Delivery::new(
            Arc::clone(&trace.source),
            Entrance::Langfuse,
            report.message.clone(),
            trace.body(&report.parts),
            trace.arrived_at(&report.parts),
        );
        match self.deliver(delivery).await {
            // A conflict is on record.
            Ok(_)
            | Err(OperationError::Refused(
                DeliveryRefusal::Conflict { .. } | DeliveryRefusal::ResolvedAlready,
            )) => self.mark_reported(trace, &report.parts).await,
            Err(OperationError::Failed(error)) => Err(error),
        }
    }

    async fn mark_reported(&self, trace: &Trace, places: &[usize]) -> Result<()> {
        let parts = trace.parts_at(places);
        let (ids, times): (Vec<_>, Vec<_>) = parts
            .map(|part| (part.part_id.as_str(), part.received_at))
            .unzip();
        let namespace_id = trace.source.namespace_id;
        trace::mark_reported(self.pool(), namespace_id, &trace.trace_id, &ids, &times).await
    }

    async fn look_again(&self, trace: &Trace, at: Option<OffsetDateTime>) -> Result<()> {
        let (namespace_id, revision) = (trace.source.namespace_id, trace.revision);
        trace::set_due(self.pool(), namespace_id, &trace.trace_id, revision, at).await
    }
}
