//! A message from its first report to its last event: after each, its entry or the event itself must say
//! what all reports in effect make of it together.

use shared::price::PriceBook;
use uuid::Uuid;

use super::records::Records;
use super::replayed::{NOT_ITS_REPORTS, Replayed, Result, first_report, reported};
use crate::charging::message::{Message, RecordedReport, payable, priced};
use crate::records::dues::Dues;
use crate::records::entry::EntryLine;
use crate::records::hash::MessageId;
use crate::store::message::EventRow;

/// A message that turns out to be another one that does so, and so on: more of them are a circle.
const JOINS_MAX: u32 = 100;

pub(super) struct Replay<'a> {
    pub records: &'a Records,
    book: &'a PriceBook,
}

impl<'a> Replay<'a> {
    pub(super) const fn new(records: &'a Records, book: &'a PriceBook) -> Self {
        Self { records, book }
    }

    pub(super) fn of(&self, id: Uuid) -> Result<Replayed> {
        self.of_joined(id, 0)
    }

    /// As [`Replay::of`], of one that was met behind so many others.
    pub(super) fn of_joined(&self, id: Uuid, depth: u32) -> Result<Replayed> {
        let mut it = Replayed {
            message: Message::new(MessageId(id)),
            gained_nano: 0,
            end: None,
            joined: Vec::new(),
        };
        if depth > JOINS_MAX {
            return Err(it.fault("it turned out to be another one in a circle"));
        }
        self.first_charge(&mut it)?;
        let mut rest = self.records.events(id);
        while let Some((event, after)) = rest.split_first() {
            if it.end.is_some() {
                return Err(it.fault("something happened to it after its end"));
            }
            rest = match event.other.filter(|_| event.kind != "joined") {
                Some(other) => self.join(&mut it, other, rest, depth)?,
                None => {
                    self.event(&mut it, event, depth)?;
                    after
                }
            };
        }
        if self
            .records
            .ended_in(id)
            .iter()
            .any(|other| !it.joined.contains(other))
        {
            return Err(
                it.fault("a message that turned out to be this one is not among its reports")
            );
        }
        if -it.gained_nano != i128::from(it.message.dues.owed_nano) {
            return Err(it.fault("its entries do not add up to what is owed of it"));
        }
        Ok(it)
    }

    /// The first charge, where it has no event.
    fn first_charge(&self, it: &mut Replayed) -> Result<()> {
        let id = it.message.id.0;
        let root = self.records.root(id).filter(|root| root.message == id);
        let root = root.ok_or_else(|| it.fault("it has no claim of its own"))?;
        let Some(place) = root.account_id.zip(root.entry) else {
            return Ok(());
        };
        let events = self.records.events(id);
        if events
            .iter()
            .any(|event| event.entry == Some(place.1) && event.account_id == place.0)
        {
            return Ok(());
        }
        let row = it.row(self.records, place)?;
        let report = first_report(row).ok_or_else(|| it.fault("its first charge is no report"))?;
        it.message.next_number = 1;
        self.take_report(it, report)?;
        let (lines, dues) = self.state(it)?;
        it.enter(row, "charge", lines, dues)
    }

    /// An event, in its turn.
    fn event(&self, it: &mut Replayed, event: &EventRow, depth: u32) -> Result<()> {
        self.go_on_to(it, event, depth)?;
        it.message.next_number = it.message.next_number.saturating_add(1);
        match event.kind.as_str() {
            "waiting" => {
                let report = reported(it, event)?;
                it.message.waiting.push(report);
                Ok(())
            }
            "report" => self.report(it, event),
            "refund" => self.refund(it, event),
            "rerate" => {
                let versions = event
                    .versions
                    .iter()
                    .flat_map(|versions| versions.0.clone());
                it.message.versions.extend(versions);
                let (lines, dues) = self.state(it)?;
                self.change(it, event, "rerate", lines, dues)
            }
            "joined" => {
                let end = u32::try_from(event.number).ok().zip(event.other);
                it.end = Some(end.ok_or_else(|| it.fault_at(event, "its end leads nowhere"))?);
                Ok(())
            }
            kind => Err(it.fault_at(event, format!("an event of no kind that there is: {kind}"))),
        }
    }

    /// Takes in what ended here without a report to go on, until the event's number is the next one.
    fn go_on_to(&self, it: &mut Replayed, event: &EventRow, depth: u32) -> Result<()> {
        let number = u32::try_from(event.number).unwrap_or(0);
        while number != it.message.next_number {
            let ended = self.records.ended_in(it.message.id.0).iter();
            let events = self.records.events(it.message.id.0);
            let quiet = ended.copied().find(|other| {
                let is_told = events.iter().any(|event| event.other == Some(*other));
                !is_told && !it.joined.contains(other)
            });
            let next = it.message.next_number;
            let quiet = quiet.filter(|_| number > next).ok_or_else(|| {
                it.fault_at(
                    event,
                    format!("event {next} is missing before event {number}"),
                )
            })?;
            self.join(it, quiet, &[], depth)?;
        }
        Ok(())
    }

    fn report(&self, it: &mut Replayed, event: &EventRow) -> Result<()> {
        let report = reported(it, event)?;
        if let Some(number) = event.counts_as {
            let number = u32::try_from(number).ok();
            let mut waiting = it.message.waiting.iter();
            let is_the_same = waiting.any(|waiting| {
                Some(waiting.report.number) == number && waiting.report.usage == report.report.usage
            });
            if !is_the_same {
                return Err(
                    it.fault_at(event, "a report that had waited is not the one that waited")
                );
            }
        }
        let kind = match it.message.entries {
            None => "charge",
            Some(_) => "correction",
        };
        self.take_report(it, report)?;
        let (lines, dues) = self.state(it)?;
        self.change(it, event, kind, lines, dues)
    }

    fn take_report(&self, it: &mut Replayed, report: RecordedReport) -> Result<()> {
        let account_id = *it.message.account_id.get_or_insert(report.account_id);
        if account_id != report.account_id {
            return Err(it.fault("a report of another user is in effect"));
        }
        it.message.in_effect.push(report);
        Ok(())
    }

    fn refund(&self, it: &mut Replayed, event: &EventRow) -> Result<()> {
        let row = event
            .entry
            .and_then(|entry| self.records.entry((event.account_id, entry)));
        let dues = row.and_then(|row| it.message.dues.refunded(row.amount_nano));
        let dues = dues.ok_or_else(|| it.fault_at(event, "gives back more than is owed"))?;
        self.change(it, event, "refund", it.message.lines.clone(), dues)
    }

    /// What the reports in effect make of the message.
    fn state(&self, it: &Replayed) -> Result<(Vec<EntryLine>, Dues)> {
        let message = &it.message;
        let payable = payable(&message.in_effect);
        let (lines, cost) = priced(payable, &message.lines, &message.versions, self.book)
            .map_err(|_| it.fault("its reports in effect have no price"))?;
        Ok((lines, message.dues.at_cost(cost)))
    }

    /// What an event made of the message must be what its entry says, or the event itself where nothing
    /// is owed otherwise.
    fn change(
        &self,
        it: &mut Replayed,
        event: &EventRow,
        kind: &str,
        lines: Vec<EntryLine>,
        dues: Dues,
    ) -> Result<()> {
        if let Some(entry) = event.entry {
            let row = it.row(self.records, (event.account_id, entry))?;
            if event.state().is_some() {
                return Err(it.fault_at(event, "its entry and the event both say what it costs"));
            }
            return it.enter(row, kind, lines, dues);
        }
        if it.message.entries.is_none() || dues.owed_nano != it.message.dues.owed_nano {
            return Err(it.fault_at(event, "changes what is owed without an entry"));
        }
        let has_changed = lines != it.message.lines || dues != it.message.dues;
        let state = has_changed.then(|| (lines.clone(), dues));
        if event.state() != state {
            return Err(it.fault_at(event, NOT_ITS_REPORTS));
        }
        it.message.lines = lines;
        it.message.dues = dues;
        Ok(())
    }
}
