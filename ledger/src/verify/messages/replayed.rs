//! A message as it stands while it is replayed, and what its rows say.

use shared::clock::Timestamp;
use shared::usage::Report;
use uuid::Uuid;

use super::records::Records;
use crate::charging::message::{Message, RecordedReport, usage_of};
use crate::records::dues::Dues;
use crate::records::entrance::Entrance;
use crate::records::entry::{EntriesBefore, EntryLine};
use crate::store::message::EventRow;
use crate::store::verification::message::MessageEntryRow;

/// What is wrong with a message, and where.
#[derive(Debug)]
pub(super) struct ReplayFault {
    pub account_id: Option<Uuid>,
    pub entry: Option<i64>,
    pub what: String,
}

pub(super) type Result<T> = std::result::Result<T, ReplayFault>;

/// A message as far as it was replayed.
pub(super) struct Replayed {
    pub message: Message,
    /// What the account gained by all its entries, and by those of the messages that it turned out to be.
    pub gained_nano: i128,
    /// Its last event, and the message that it turned out to be.
    pub end: Option<(u32, Uuid)>,
    /// Messages that turned out to be this one.
    pub joined: Vec<Uuid>,
}

pub(super) const NOT_ITS_REPORTS: &str =
    "its lines and dues are not what its reports in effect make of it";

impl Replayed {
    pub(super) fn fault(&self, what: impl Into<String>) -> ReplayFault {
        ReplayFault {
            account_id: self.message.account_id,
            entry: self.message.entries.map(|entries| entries.first),
            what: what.into(),
        }
    }

    pub(super) fn fault_at(&self, event: &EventRow, what: impl Into<String>) -> ReplayFault {
        let first = self.message.entries.map(|entries| entries.first);
        ReplayFault {
            account_id: Some(event.account_id),
            entry: event.entry.or(first),
            what: what.into(),
        }
    }

    pub(super) fn row<'a>(
        &self,
        records: &'a Records,
        place: (Uuid, i64),
    ) -> Result<&'a MessageEntryRow> {
        let row = records.entry(place);
        let row = row.filter(|row| row.message == Some(self.message.id.0));
        row.ok_or_else(|| ReplayFault {
            account_id: Some(place.0),
            entry: Some(place.1),
            what: "the entry is missing, or one of another message".to_owned(),
        })
    }

    /// Goes on by an entry.
    pub(super) fn enter(
        &mut self,
        row: &MessageEntryRow,
        kind: &str,
        lines: Vec<EntryLine>,
        dues: Dues,
    ) -> Result<()> {
        let before = self.message.entries;
        let first = before.map_or(row.entry, |before| before.first);
        let last = before.map(|before| before.last);
        let is_linked =
            row.follows_entry == last && row.corrects_entry == before.map(|it| it.first);
        let gained = i128::from(self.message.dues.owed_nano) - i128::from(dues.owed_nano);
        self.message.entries = Some(EntriesBefore {
            first,
            last: row.entry,
        });
        let what = if row.kind != kind {
            "its entry is of another kind than what happened"
        } else if !is_linked {
            "its entry does not follow the one before it"
        } else if row.lines.as_ref().map(|lines| &lines.0) != Some(&lines) || row.dues() != dues {
            NOT_ITS_REPORTS
        } else if i128::from(row.amount_nano) != gained {
            "its entry is not the difference of what is owed"
        } else {
            self.message.lines = lines;
            self.message.dues = dues;
            self.gained_nano += gained;
            return Ok(());
        };
        Err(ReplayFault {
            account_id: Some(row.account_id),
            entry: Some(row.entry),
            what: what.to_owned(),
        })
    }
}

/// The report that an event tells.
pub(super) fn reported(it: &Replayed, event: &EventRow) -> Result<RecordedReport> {
    event
        .report()
        .map_err(|error| it.fault_at(event, error.to_string()))
}

/// The report of a first charge, as the lines of its entry tell it.
pub(super) fn first_report(row: &MessageEntryRow) -> Option<RecordedReport> {
    let entrance = Entrance::stored(row.entrance.as_deref()?).ok()?;
    Some(RecordedReport {
        report: Report {
            number: 0,
            party: entrance.party(),
            at: Timestamp::new(row.occurred_at),
            usage: usage_of(&row.lines.as_ref()?.0),
        },
        account_id: row.account_id,
        api_key_id: row.api_key_id?,
        entrance,
        quarantine_id: None,
    })
}

impl MessageEntryRow {
    fn dues(&self) -> Dues {
        match (
            self.cost_nano,
            self.owed_nano,
            self.basis_nano,
            self.cap_nano,
        ) {
            (Some(cost_nano), Some(owed_nano), Some(basis_nano), Some(cap_nano)) => Dues {
                cost_nano,
                owed_nano,
                basis_nano,
                cap_nano,
            },
            _ => Dues::default().at_cost(self.amount_nano.saturating_neg()),
        }
    }
}
