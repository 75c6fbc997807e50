//! The reports of a message, as an administrator compares them.

use std::fmt;
use std::str::FromStr;

use shared::api::{Page, ReportDifference, ReportSummary};
use shared::clock::Timestamp;
use shared::tokens::Tokens;
use shared::usage::{Evidence, LinePlace, Usage};
use sqlx::types::Json;

use crate::charging::message::usage_of;
use crate::charging::record::Record;
use crate::error::{Attempt, refusal};
use crate::operations::ledger::Ledger;
use crate::records::entry::{EntryLine, total_tokens};
use crate::records::hash::MessageId;
use crate::records::page::{self, UnknownCursor};
use crate::store::report::{self, ReportKey, ReportRow};

/// Reports looked through at once for some that differ, and how often for one page.
const LOOK_ROWS_MAX: i64 = 500;
const LOOKS_MAX: u32 = 20;

/// No charged message has this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownMessage;

refusal!(UnknownMessage);

impl Ledger {
    /// Everybody who reported a message, in order. `message_id` is any id that the message is known by.
    ///
    /// # Errors
    /// [`UnknownMessage`].
    pub async fn reports(&self, message_id: &str) -> Attempt<Vec<ReportSummary>, UnknownMessage> {
        let mut connection = self.pool().acquire().await?;
        let mut reports = Vec::new();
        for namespace_id in report::namespaces(&mut *connection).await? {
            let id = MessageId::new(namespace_id, message_id);
            let record = Record::read(&mut connection, &[id]).await?;
            let found = record.find(&[id]);
            let message = found.first().and_then(|id| record.get(*id));
            let Some(message) = message.filter(|message| message.entries.is_some()) else {
                continue;
            };
            let rows = report::of_message(&mut *connection, message.id.0).await?;
            reports.extend(rows.into_iter().map(|row| row.summary(&message.lines)));
        }
        if reports.is_empty() {
            return Err(UnknownMessage.into());
        }
        Ok(reports)
    }

    /// Reports that differ from what was charged, newest first. A page may end early, with a cursor:
    /// few reports differ, and not all are looked through at once.
    ///
    /// # Errors
    /// [`UnknownCursor`].
    pub async fn report_differences(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Attempt<Page<ReportSummary>, UnknownCursor> {
        let mut before = page::cursor::<ReportCursor>(cursor)?.map(|cursor| cursor.0);
        let items_max = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        let mut connection = self.pool().acquire().await?;
        for _ in 0..LOOKS_MAX {
            let rows = report::later(&mut *connection, before, LOOK_ROWS_MAX).await?;
            let ids: Vec<MessageId> = rows.iter().map(|row| MessageId(row.message)).collect();
            let record = Record::read(&mut connection, &ids).await?;
            let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < LOOK_ROWS_MAX);
            for row in rows {
                if items.len() == items_max {
                    return Ok(page(items, before));
                }
                before = Some((row.recorded_at, row.message, row.number));
                let found = record.find(&[MessageId(row.message)]);
                let message = found.first().and_then(|id| record.get(*id));
                let summary = row.summary(message.map_or(&[], |message| &message.lines));
                items.extend(Some(summary).filter(|summary| summary.difference.is_some()));
            }
            if is_last {
                return Ok(page(items, None));
            }
        }
        Ok(page(items, before))
    }
}

fn page(items: Vec<ReportSummary>, next: Option<ReportKey>) -> Page<ReportSummary> {
    Page {
        items,
        next_cursor: next.map(|key| ReportCursor(key).to_string()),
    }
}

/// The report before the first of a page, as a cursor: microseconds since 1970, message and number.
struct ReportCursor(ReportKey);

impl fmt::Display for ReportCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, message, number) = self.0;
        let micros = Timestamp::from(at).unix_micros();
        write!(f, "{micros}.{}.{number}", message.simple())
    }
}

impl FromStr for ReportCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let (Some(micros), Some(message), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let at = Timestamp::from_unix_micros(micros.parse().map_err(drop)?).ok_or(())?;
        let message = message.parse().map_err(drop)?;
        Ok(Self((at.moment(), message, number.parse().map_err(drop)?)))
    }
}

/// Whether something is paid otherwise than a report tells it. Estimates differ from nothing, and what
/// has grown since does not either.
fn difference(usage: &Usage, paid: &[EntryLine]) -> Option<ReportDifference> {
    let calls = usage.calls.iter();
    let mut told = calls.filter(|(_, line)| line.evidence > Evidence::Estimated);
    let differs = told.any(|(id, line)| {
        let mut paid = paid.iter();
        let paid = paid.find(|it| matches!(&it.place, LinePlace::Call(call) if call == id));
        match paid {
            Some(paid) => {
                (paid.tokens, paid.model_name.key()) != (line.tokens, line.model_name.key())
            }
            None => line.tokens.total() > 0,
        }
    });
    let all = total_tokens(paid);
    let whole = usage.whole.as_ref();
    let whole = whole.filter(|whole| whole.evidence() > Evidence::Estimated);
    let whole_differs = whole.is_some_and(|whole| {
        let told = whole.total_tokens();
        told > all || told < all && !whole.is_so_far
    });
    (differs || whole_differs).then_some(ReportDifference::Tokens)
}

impl ReportRow {
    fn summary(self, paid: &[EntryLine]) -> ReportSummary {
        let usage = match (self.usage, &self.lines) {
            (Some(Json(usage)), _) => usage,
            (None, Some(Json(lines))) => usage_of(lines),
            (None, None) => Usage::default(),
        };
        let (tokens, evidence) = summed(&usage);
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        ReportSummary {
            message_id: self.message_id.unwrap_or_default(),
            reported_at: self.recorded_at.into(),
            source: self.source,
            entrance: self.entrance,
            evidence: evidence.as_str().to_owned(),
            user_id: self.user_id,
            input_tokens: count(tokens.all_input()),
            output_tokens: count(tokens.all_output()),
            difference: difference(&usage, paid),
            consumption_id: self.entry.map(|_| MessageId(self.message).public()),
        }
    }
}

/// All tokens that a report tells, and how sure its least sure line is.
fn summed(usage: &Usage) -> (Tokens, Evidence) {
    let calls = usage.calls.values();
    let lines = calls.chain(usage.whole.iter().flat_map(|whole| &whole.lines));
    let mut tokens = Tokens::default();
    let mut evidence = None;
    for line in lines {
        tokens = tokens.saturating_plus(line.tokens);
        evidence = Some(evidence.map_or(line.evidence, |it: Evidence| it.min(line.evidence)));
    }
    if let Some(count) = &usage.count
        && count.tokens > tokens.total()
    {
        tokens.input = tokens
            .input
            .saturating_add(count.tokens.saturating_sub(tokens.total()));
        evidence = Some(Evidence::Summed);
    }
    (tokens, evidence.unwrap_or_default())
}
