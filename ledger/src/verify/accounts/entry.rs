//! Entries out of their rows. Strict: a column that an entry of its kind does not have must be empty,
//! because the entry's hash does not hold it.

use std::borrow::Cow;

use shared::api::EntryKind;
use shared::money::Points;

use crate::records::dues::Dues;
use crate::records::entry::{
    Content, CreditTerms, Draft, EntriesBefore, Entry, EntryLine, MessageCharge, ReportOrigin,
};
use crate::records::hash::MessageId;
use crate::store::verification::entry::{
    DuesColumns, OriginColumns, StoredEntry, StoredEntryPlace,
};

type Result<T> = std::result::Result<T, &'static str>;

/// The entry that a row tells; `terms` are those of the credit that it brings.
pub(super) fn entry(
    place: StoredEntryPlace,
    row: StoredEntry,
    terms: CreditTerms,
) -> Result<Entry> {
    let kind = kind(&row.kind)?;
    let content = match (kind, row.message) {
        (
            EntryKind::Charge | EntryKind::Correction | EntryKind::Refund | EntryKind::Rerate,
            Some(message),
        ) => {
            let lines = row.lines.ok_or("a message without its lines")?;
            let before = before(row.corrects_entry, row.follows_entry)?;
            if (kind == EntryKind::Charge) != before.is_none() {
                return Err("a first charge that is not the first, or another entry that is");
            }
            Content::Message(Box::new(MessageCharge {
                message: MessageId(message),
                origin: origin(row.origin)?,
                dues: dues(kind, row.dues, &lines)?,
                lines,
                before,
            }))
        }
        (EntryKind::Grant | EntryKind::Expiry | EntryKind::Adjustment, None) => {
            if row.lines.is_some() || row.dues.is_any() || row.origin.is_any() {
                return Err("it tells of a message, and is of none");
            }
            plain_content(kind, &row, terms)?
        }
        _ => return Err("its kind does not fit what it tells"),
    };
    Ok(Entry {
        account_id: place.account_id,
        entry: place.entry,
        recorded_at: row.recorded_at,
        balance_after_nano: row.balance_after_nano,
        draft: Draft {
            kind,
            occurred_at: row.occurred_at,
            amount: Points::from_nano(row.amount_nano),
            content,
            reason: row.reason,
            actor: row.actor,
        },
    })
}

fn kind(text: &str) -> Result<EntryKind> {
    let mut all = EntryKind::ALL.into_iter();
    all.find(|kind| kind.as_str() == text)
        .ok_or("a kind of entry that there is not")
}

fn plain_content(kind: EntryKind, row: &StoredEntry, terms: CreditTerms) -> Result<Content> {
    if row.follows_entry.is_some() {
        return Err("it follows an entry of a message, and is of none");
    }
    match (kind, row.corrects_entry) {
        (EntryKind::Expiry, Some(credit)) => Ok(Content::Expiry { credit }),
        (EntryKind::Grant, None) => Ok(Content::Credit(terms)),
        (EntryKind::Adjustment, None) => Ok(Content::Adjustment),
        _ => Err("the entry that it corrects does not fit its kind"),
    }
}

const fn before(first: Option<i64>, last: Option<i64>) -> Result<Option<EntriesBefore>> {
    match (first, last) {
        (None, None) => Ok(None),
        (Some(first), Some(last)) => Ok(Some(EntriesBefore { first, last })),
        _ => Err("it tells only one of the message's first entry and its last"),
    }
}

/// A first charge is all that its message costs and owes, so it does without its state.
fn dues(kind: EntryKind, row: DuesColumns, lines: &[EntryLine]) -> Result<Dues> {
    if kind != EntryKind::Charge {
        return row.dues().ok_or("what the message costs is missing");
    }
    if row.is_any() {
        return Err("a first charge tells what it costs apart from its lines");
    }
    Ok(Dues::default().at_cost(cost(lines).ok_or("a cost beyond all numbers")?))
}

/// What lines cost together.
pub(super) fn cost(lines: &[EntryLine]) -> Option<i64> {
    let mut costs = lines.iter().map(|line| line.cost_nano);
    costs.try_fold(0, |sum: i64, cost| sum.checked_add(cost))
}

fn origin(row: OriginColumns) -> Result<Option<ReportOrigin>> {
    match row {
        OriginColumns {
            api_key_id: Some(api_key_id),
            namespace_id: Some(namespace_id),
            entrance: Some(entrance),
            message_id: Some(message_id),
            conversation_id,
            request_id,
        } => Ok(Some(ReportOrigin {
            api_key_id,
            namespace_id,
            entrance: Cow::Owned(entrance),
            message_id,
            conversation_id,
            request_id,
        })),
        row if row.is_any() => Err("it tells only a part of whose report it is"),
        _ => Ok(None),
    }
}

impl OriginColumns {
    fn is_any(&self) -> bool {
        let texts = [
            &self.entrance,
            &self.message_id,
            &self.conversation_id,
            &self.request_id,
        ];
        self.api_key_id.is_some()
            || self.namespace_id.is_some()
            || texts.into_iter().any(Option::is_some)
    }
}

impl DuesColumns {
    const fn is_any(&self) -> bool {
        self.cost_nano.is_some()
            || self.owed_nano.is_some()
            || self.basis_nano.is_some()
            || self.cap_nano.is_some()
    }

    fn dues(self) -> Option<Dues> {
        Some(Dues {
            cost_nano: self.cost_nano?,
            owed_nano: self.owed_nano?,
            basis_nano: self.basis_nano?,
            cap_nano: self.cap_nano?,
        })
    }
}
