//! A message as it is on record: what decides what another report of it changes.

use std::collections::BTreeMap;

use shared::money::Overflow;
use shared::price::{PriceBook, Unpriced};
use shared::quote::quote;
use shared::usage::{Evidence, Line, LinePlace, PayableLine, Report, Usage, Whole, merge};
use uuid::Uuid;

use crate::Entrance;
use crate::records::dues::Dues;
use crate::records::entry::{EntriesBefore, EntryLine};
use crate::records::hash::MessageId;

/// A report on record, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedReport {
    pub report: Report,
    pub account_id: Uuid,
    pub api_key_id: Uuid,
    pub entrance: Entrance,
    /// Where it waits; absent for a report in effect.
    pub quarantine_id: Option<Uuid>,
}

/// What is on record about one message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub id: MessageId,
    /// Whose it is: that of the first report in effect.
    pub account_id: Option<Uuid>,
    pub in_effect: Vec<RecordedReport>,
    pub waiting: Vec<RecordedReport>,
    /// What is paid of it, and what is owed.
    pub lines: Vec<EntryLine>,
    pub dues: Dues,
    /// What models were re-rated to, by their keys.
    pub versions: BTreeMap<String, i64>,
    pub entries: Option<EntriesBefore>,
    /// After its last entry.
    pub balance_after_nano: i64,
    /// Of whatever is added to it next.
    pub next_number: u32,
}

impl Message {
    /// One that nobody has reported yet.
    pub(crate) const fn new(id: MessageId) -> Self {
        Self {
            id,
            account_id: None,
            in_effect: Vec::new(),
            waiting: Vec::new(),
            lines: Vec::new(),
            dues: Dues {
                cost_nano: 0,
                owed_nano: 0,
                basis_nano: 0,
                cap_nano: 0,
            },
            versions: BTreeMap::new(),
            entries: None,
            balance_after_nano: 0,
            next_number: 0,
        }
    }

    /// Whether an administrator has decided what it used.
    pub(crate) fn is_decided(&self) -> bool {
        let wholes = self.in_effect.iter();
        let mut wholes = wholes.filter_map(|it| it.report.usage.whole.as_ref());
        wholes.any(|whole| whole.evidence() == Evidence::Decided)
    }
}

/// What reports say together is to be paid.
pub(crate) fn payable(reports: &[RecordedReport]) -> Vec<PayableLine> {
    shared::usage::lines(&merge(reports.iter().map(|recorded| &recorded.report)))
}

/// Why lines have no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCost {
    Unpriced(Unpriced),
    Overflow,
}

impl From<Overflow> for NoCost {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// Prices lines: each by the version that its model was re-rated to, else by the one that it had
/// `before` (the same place of the same report), else by the one in force when its report happened.
/// Returns them with their sum, in nanopoints.
pub(crate) fn priced(
    payable: Vec<PayableLine>,
    before: &[EntryLine],
    versions: &BTreeMap<String, i64>,
    book: &PriceBook,
) -> Result<(Vec<EntryLine>, i64), NoCost> {
    let mut sum: i64 = 0;
    let mut lines = Vec::with_capacity(payable.len());
    for line in payable {
        let key = line.model_name.key();
        let pinned = || {
            let mut same = before.iter().filter(|it| {
                it.report == line.report && it.place == line.place && it.model_name.key() == key
            });
            same.next().map(|it| it.price_version_id)
        };
        let version = match versions.get(&key).copied().or_else(pinned) {
            Some(id) => book
                .by_id(&line.model_name, id)
                .ok_or(Unpriced::UnknownModel),
            None => book.in_force(&line.model_name, line.at),
        };
        let version = version.map_err(NoCost::Unpriced)?;
        let cost_nano = quote(&version.rates, &line.tokens)?.points.nano();
        sum = sum.checked_add(cost_nano).ok_or(NoCost::Overflow)?;
        lines.push(EntryLine {
            place: line.place,
            report: line.report,
            model_name: line.model_name,
            tokens: line.tokens,
            evidence: line.evidence,
            price_version_id: version.id,
            cost_nano,
        });
    }
    Ok((lines, sum))
}

/// The usage of a single report as the lines of its entry tell it; a report that they do not tell
/// whole needs a row of its own.
pub(crate) fn usage_of(lines: &[EntryLine]) -> Usage {
    let mut usage = Usage::default();
    let mut whole = Vec::new();
    for line in lines {
        let told = Line {
            model_name: line.model_name.clone(),
            tokens: line.tokens,
            evidence: line.evidence,
        };
        match &line.place {
            LinePlace::Call(id) => {
                usage.calls.insert(id.clone(), told);
            }
            LinePlace::Whole(_) => whole.push(told),
            LinePlace::Count => {
                usage.count = Some(shared::usage::Count {
                    tokens: line.tokens.total(),
                    model_name: line.model_name.clone(),
                });
            }
        }
    }
    usage.whole = (!whole.is_empty()).then_some(Whole {
        lines: whole,
        is_so_far: false,
    });
    usage
}
