//! What a report changes: the one decision of the books, pure.
//!
//! The charge of a message is a function of its reports in effect, its re-ratings and its refunds; a
//! report changes it by coming into effect. Everything else here is when it does not.

use shared::api::QuarantineReason;
use shared::clock::Timestamp;
use shared::price::{PriceBook, Unpriced};
use shared::usage::{Party, Report, Usage};
use uuid::Uuid;

use super::message::{Message, NoCost, RecordedReport, payable, priced};
use crate::Entrance;
use crate::records::dues::Dues;
use crate::records::entry::EntryLine;

/// A report that has just arrived, or leaves quarantine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub account_id: Uuid,
    pub api_key_id: Uuid,
    pub entrance: Entrance,
    pub party: Party,
    /// When it happened, never later than its arrival.
    pub at: Timestamp,
    pub usage: &'a Usage,
    /// Why it cannot be believed as it stands.
    pub doubt: Option<QuarantineReason>,
    /// The place in quarantine that it leaves: charged whatever kept it waiting, if it has a price.
    pub released: Option<Uuid>,
    /// An administrator has put it right: it is not what waited.
    pub is_corrected: bool,
    /// It names an id that belongs to no message yet.
    pub has_free_id: bool,
    /// Of its account, in nanopoints.
    pub balance_nano: i64,
}

/// What is to be done with a report. Messages by their places among the recorded ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Its party has said something else of the same, or another user's message has all its ids and
    /// the sender can be told so.
    Conflict,
    /// Its party has said just this.
    Duplicate {
        message: usize,
        ends: Vec<Uuid>,
    },
    /// It changes nothing until somebody or a price resolves it. `is_new` unless the same report
    /// waits already. Without a message it begins one.
    Wait {
        message: Option<usize>,
        reason: QuarantineReason,
        is_new: bool,
    },
    Effect(Box<Effect>),
}

/// What a report changes by taking effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Absent for the first report of a message.
    pub message: Option<usize>,
    /// Messages that turn out to be the same one, with the number from which their reports go on in it.
    pub joined: Vec<(usize, u32)>,
    /// Of the report: its own, and the one that it counts under.
    pub number: u32,
    pub counts_as: u32,
    pub lines: Vec<EntryLine>,
    pub dues: Dues,
    /// What was owed before, of all messages that are now one.
    pub owed_before_nano: i64,
    /// Places in quarantine that it ends.
    pub ends: Vec<Uuid>,
}

/// Decides about a report of the recorded messages that its ids belong to.
pub(crate) fn decide(recorded: &[Message], report: &Incoming<'_>, book: &PriceBook) -> Decision {
    let is_own = |message: &Message| message.account_id.is_none_or(|id| id == report.account_id);
    let own = places(recorded, is_own);
    if own.is_empty() && !recorded.is_empty() && !report.has_free_id {
        return of_another_user(recorded, report);
    }
    let messages = || own.iter().filter_map(|place| recorded.get(*place));
    if messages().any(|message| contradicts(message, report)) {
        return Decision::Conflict;
    }
    if let (&[place], Some(message)) = (own.as_slice(), messages().next())
        && message.in_effect.iter().any(|it| says_the_same(it, report))
    {
        let ends = ended(message, report);
        let message = place;
        return Decision::Duplicate { message, ends };
    }
    let wait = |reason| wait(recorded, own.first().copied(), report, reason);
    // What an administrator has decided stands, whatever is said of it.
    let is_decided = messages().any(Message::is_decided);
    let doubt = report
        .doubt
        .filter(|_| report.released.is_none() && !is_decided);
    if let Some(reason) = doubt {
        return wait(reason);
    }
    // What was charged goes on; what only waits joins it.
    let mut joined = own.clone();
    joined.sort_by_key(|place| recorded.get(*place).is_none_or(|it| it.entries.is_none()));
    match effect(recorded, &joined, report, book) {
        Ok(effect) => Decision::Effect(Box::new(effect)),
        Err(reason) => wait(reason),
    }
}

fn places(recorded: &[Message], is_wanted: impl Fn(&Message) -> bool) -> Vec<usize> {
    let messages = recorded.iter().enumerate();
    let wanted = messages.filter(|(_, message)| is_wanted(message));
    wanted.map(|(place, _)| place).collect()
}

/// A message has one user. Whoever is answered hears so; what nobody is answered for waits, because
/// it was used whoever chose its id.
fn of_another_user(recorded: &[Message], report: &Incoming<'_>) -> Decision {
    if report.party == Party::Operator && report.released.is_none() {
        return Decision::Conflict;
    }
    wait(recorded, Some(0), report, QuarantineReason::AnotherUser)
}

/// Whether its party has said something else of the same, and of the same user: whoever takes an id
/// first keeps nobody from being charged. What waits was said too, unless this is how it stops waiting.
fn contradicts(message: &Message, report: &Incoming<'_>) -> bool {
    let waiting = message.waiting.iter().filter(|_| report.released.is_none());
    let mut others = message.in_effect.iter().chain(waiting);
    others.any(|other| {
        other.account_id == report.account_id
            && other.report.party == report.party
            && report.usage.contradicts(&other.report.usage)
    })
}

fn says_the_same(recorded: &RecordedReport, report: &Incoming<'_>) -> bool {
    recorded.report.party == report.party && recorded.report.usage.is_same_as(report.usage)
}

fn wait(
    recorded: &[Message],
    message: Option<usize>,
    report: &Incoming<'_>,
    reason: QuarantineReason,
) -> Decision {
    let waiting = message.and_then(|place| recorded.get(place));
    let mut waiting = waiting.iter().flat_map(|message| &message.waiting);
    let is_known =
        |it: &RecordedReport| it.account_id == report.account_id && says_the_same(it, report);
    Decision::Wait {
        message,
        reason,
        is_new: report.released.is_none() && !waiting.any(is_known),
    }
}

/// The places in quarantine where just this waits, from whomever.
fn ended(message: &Message, report: &Incoming<'_>) -> Vec<Uuid> {
    let is_ended = |it: &&RecordedReport| {
        it.quarantine_id == report.released && report.released.is_some()
            || it.account_id == report.account_id && it.report.usage.is_same_as(report.usage)
    };
    let ended = message.waiting.iter().filter(is_ended);
    ended.filter_map(|it| it.quarantine_id).collect()
}

/// What the messages cost together with the report, as one.
fn effect(
    recorded: &[Message],
    own: &[usize],
    report: &Incoming<'_>,
    book: &PriceBook,
) -> Result<Effect, QuarantineReason> {
    let overflow = |_| QuarantineReason::Overflow;
    let mut messages = own
        .iter()
        .filter_map(|place| Some((*place, recorded.get(*place)?)));
    let first = messages.next();
    let mut joint = first.map_or_else(Joint::default, |(_, message)| Joint::of(message));
    for (place, other) in messages {
        joint.join(place, other).map_err(overflow)?;
    }
    let number = joint.next_number;
    let counts_as = joint.number_of(report).unwrap_or(number);
    joint.reports.push(RecordedReport {
        report: Report {
            number: counts_as,
            party: report.party,
            at: report.at,
            usage: report.usage.clone(),
        },
        account_id: report.account_id,
        api_key_id: report.api_key_id,
        entrance: report.entrance,
        quarantine_id: None,
    });
    let (lines, cost_nano) = priced(payable(&joint.reports), &joint.lines, &joint.versions, book)
        .map_err(|no_cost| match no_cost {
        NoCost::Unpriced(Unpriced::UnknownModel) => QuarantineReason::UnknownModel,
        NoCost::Unpriced(Unpriced::InactivePrice) => QuarantineReason::InactivePrice,
        NoCost::Overflow => QuarantineReason::Overflow,
    })?;
    let dues = joint.dues.at_cost(cost_nano);
    let change = joint.dues.owed_nano.checked_sub(dues.owed_nano);
    change
        .and_then(|gained| report.balance_nano.checked_add(gained))
        .ok_or(QuarantineReason::Overflow)?;
    let known = own.iter().filter_map(|place| recorded.get(*place));
    Ok(Effect {
        message: first.map(|(place, _)| place),
        joined: joint.joined,
        number,
        counts_as,
        lines,
        owed_before_nano: joint.dues.owed_nano,
        dues,
        ends: known.flat_map(|message| ended(message, report)).collect(),
    })
}

/// Messages that are one: their reports, and what they cost so far.
#[derive(Default)]
struct Joint {
    joined: Vec<(usize, u32)>,
    reports: Vec<RecordedReport>,
    waiting: Vec<(Uuid, u32)>,
    lines: Vec<EntryLine>,
    versions: std::collections::BTreeMap<String, i64>,
    dues: Dues,
    next_number: u32,
}

impl Joint {
    fn of(message: &Message) -> Self {
        let waiting = message.waiting.iter();
        let waiting = waiting.filter_map(|it| Some((it.quarantine_id?, it.report.number)));
        Self {
            joined: Vec::new(),
            reports: message.in_effect.clone(),
            waiting: waiting.collect(),
            lines: message.lines.clone(),
            versions: message.versions.clone(),
            dues: message.dues,
            next_number: message.next_number,
        }
    }

    /// Reports of the other go on behind those of this one, in their order, and keep their prices.
    fn join(&mut self, place: usize, other: &Message) -> Result<(), shared::money::Overflow> {
        let from = self.next_number;
        self.joined.push((place, from));
        let renumbered = other.renumbered(from);
        self.next_number = from.saturating_add(other.next_number).saturating_add(1);
        self.reports.extend(renumbered.in_effect);
        let waiting = renumbered.waiting.iter();
        self.waiting
            .extend(waiting.filter_map(|it| Some((it.quarantine_id?, it.report.number))));
        self.lines.extend(renumbered.lines);
        for (model, version) in &other.versions {
            self.versions.entry(model.clone()).or_insert(*version);
        }
        self.dues = self.dues.plus(other.dues)?;
        Ok(())
    }

    /// The number under which the report waited, unless it was put right since.
    fn number_of(&self, report: &Incoming<'_>) -> Option<u32> {
        let released = report.released.filter(|_| !report.is_corrected)?;
        let mut waiting = self.waiting.iter();
        waiting.find_map(|(id, number)| (*id == released).then_some(*number))
    }
}

impl Message {
    /// The same with all numbers moved up.
    pub(crate) fn renumbered(&self, from: u32) -> Self {
        let mut message = self.clone();
        let reports = message.in_effect.iter_mut().chain(&mut message.waiting);
        for recorded in reports {
            recorded.report.number = recorded.report.number.saturating_add(from);
        }
        for line in &mut message.lines {
            line.report = line.report.saturating_add(from);
        }
        message
    }
}
