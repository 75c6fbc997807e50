//! Reads what was entered as steps: each with what its message was before.

use std::collections::{BTreeSet, HashMap};

use shared::api::EntryKind;
use sqlx::PgConnection;
use uuid::Uuid;

use super::step::{JournalStep, MessageState, StepContent};
use crate::error::{Error, Result};
use crate::store::journal_step::{
    self as store, ChangeRow, EntryPlace, EventState, JournalRow, Stretch,
};
use crate::store::usage_sum::kind_of;

/// The steps of a stretch of the journal, of one account where it is given.
pub(crate) async fn steps_of(
    connection: &mut PgConnection,
    stretch: Stretch,
    account_id: Option<Uuid>,
) -> Result<Vec<JournalStep>> {
    let entries = store::entries(connection, stretch, account_id).await?;
    let changes = store::changes(connection, stretch, account_id).await?;
    steps(connection, entries, changes).await
}

/// Makes steps of rows, in any order.
pub(crate) async fn steps(
    connection: &mut PgConnection,
    entries: Vec<JournalRow>,
    changes: Vec<ChangeRow>,
) -> Result<Vec<JournalStep>> {
    let following = entries.iter().filter(|row| row.follows_entry.is_some());
    let messages: BTreeSet<Uuid> = following
        .filter_map(|row| row.message)
        .chain(changes.iter().map(|change| change.message))
        .collect();
    let mut histories = Histories::default();
    if !messages.is_empty() {
        let messages: Vec<Uuid> = messages.into_iter().collect();
        histories.read(connection, &messages).await?;
        let places = histories.needed(&entries, &changes);
        let rows = store::entries_at(connection, &places).await?;
        let rows = rows
            .into_iter()
            .map(|row| ((row.account_id, row.entry), row));
        histories.entries = rows.collect();
    }
    let mut steps = Vec::with_capacity(entries.len() + changes.len());
    for row in entries {
        steps.push(histories.step_of_entry(row)?);
    }
    for change in &changes {
        steps.extend(histories.step_of_change(change)?);
    }
    Ok(steps)
}

/// What some messages cost over time.
#[derive(Default)]
struct Histories {
    /// By message, in order.
    states: HashMap<Uuid, Vec<EventState>>,
    /// Where no event tells of the first charge.
    charges: HashMap<Uuid, EntryPlace>,
    entries: HashMap<EntryPlace, JournalRow>,
}

/// What a message was before something.
enum Before<'a> {
    Entry(EntryPlace),
    Event(&'a EventState),
}

impl Histories {
    async fn read(&mut self, connection: &mut PgConnection, messages: &[Uuid]) -> Result<()> {
        for row in store::states(connection, messages).await? {
            self.states.entry(row.message).or_default().push(row);
        }
        let charges = store::first_charges(connection, messages).await?;
        let charges = charges
            .into_iter()
            .map(|(id, account, entry)| (id, (account, entry)));
        self.charges = charges.collect();
        Ok(())
    }

    fn states_of(&self, message: Uuid) -> &[EventState] {
        self.states.get(&message).map_or(&[], Vec::as_slice)
    }

    fn first_charge(&self, message: Uuid) -> Option<EntryPlace> {
        let charge = self.charges.get(&message).copied();
        charge.or_else(|| self.states_of(message).iter().find_map(EventState::place))
    }

    /// What a message was before its event of that number.
    fn before(&self, message: Uuid, number: i32) -> Option<Before<'_>> {
        let states = self.states_of(message).iter();
        match states.take_while(|state| state.number < number).last() {
            Some(state) => Some(match state.place() {
                Some(place) => Before::Entry(place),
                None => Before::Event(state),
            }),
            None => self.charges.get(&message).copied().map(Before::Entry),
        }
    }

    /// What a message was before an entry that follows another one.
    fn before_entry(&self, row: &JournalRow) -> Option<Before<'_>> {
        let (message, follows) = (row.message?, row.follows_entry?);
        let place = Some((row.account_id, row.entry));
        let mut states = self.states_of(message).iter();
        match states.find(|state| state.place() == place) {
            Some(state) => self.before(message, state.number),
            None => Some(Before::Entry((row.account_id, follows))),
        }
    }

    /// The entries that tell what the messages of some rows were before, and when they happened.
    fn needed(&self, entries: &[JournalRow], changes: &[ChangeRow]) -> Vec<EntryPlace> {
        let following = entries.iter().filter(|row| row.follows_entry.is_some());
        let of_entries = following.clone().filter_map(|row| self.before_entry(row));
        let of_changes = changes
            .iter()
            .filter_map(|change| self.before(change.message, change.number));
        let before = of_entries
            .chain(of_changes)
            .filter_map(|before| match before {
                Before::Entry(place) => Some(place),
                Before::Event(_) => None,
            });
        let messages = following
            .filter_map(|row| row.message)
            .chain(changes.iter().map(|change| change.message));
        let first = messages.filter_map(|message| self.first_charge(message));
        let places: BTreeSet<EntryPlace> = before.chain(first).collect();
        places.into_iter().collect()
    }

    fn entry(&self, place: EntryPlace) -> Result<&JournalRow> {
        self.entries
            .get(&place)
            .ok_or_else(|| Error::corrupt("an entry of a message is missing"))
    }

    fn state_before(&self, before: Option<&Before<'_>>) -> Result<Option<MessageState>> {
        Ok(match before {
            None => None,
            Some(Before::Event(state)) => Some(state.state()),
            Some(Before::Entry(place)) => Some(self.entry(*place)?.state()),
        })
    }

    fn step_of_entry(&self, mut row: JournalRow) -> Result<JournalStep> {
        let kind = kind_of(&row.kind)?;
        let (mut happened, mut api_key_id) = (row.occurred_at, row.api_key_id);
        let content = match row.message {
            None => StepContent::Points {
                amount_nano: row.amount_nano,
            },
            Some(message) => {
                let before = self.before_entry(&row);
                if before.is_some()
                    && let Some(first) = self.first_charge(message)
                {
                    let first = self.entry(first)?;
                    (happened, api_key_id) = (first.occurred_at, first.api_key_id);
                }
                StepContent::Message {
                    before: self.state_before(before.as_ref())?,
                    after: Some(row.take_state()),
                }
            }
        };
        Ok(JournalStep {
            account_id: row.account_id,
            booked: row.recorded_at,
            happened,
            kind,
            api_key_id: api_key_id.unwrap_or_default(),
            is_entry: true,
            content,
        })
    }

    /// `None` for the end of a message that was never charged.
    fn step_of_change(&self, change: &ChangeRow) -> Result<Option<JournalStep>> {
        let Some(first) = self.first_charge(change.message) else {
            return Ok(None);
        };
        let first = self.entry(first)?;
        let mut states = self.states_of(change.message).iter();
        let state = states.find(|state| state.number == change.number);
        let before = self.before(change.message, change.number);
        Ok(Some(JournalStep {
            account_id: change.account_id,
            booked: change.recorded_at,
            happened: first.occurred_at,
            kind: match change.kind.as_str() {
                "rerate" => EntryKind::Rerate,
                _ => EntryKind::Correction,
            },
            api_key_id: first.api_key_id.unwrap_or_default(),
            is_entry: false,
            content: StepContent::Message {
                before: self.state_before(before.as_ref())?,
                after: state.map(EventState::state),
            },
        }))
    }
}

impl JournalRow {
    fn owed_nano(&self) -> i64 {
        // The first charge is all that its message owes.
        self.owed_nano
            .unwrap_or_else(|| self.amount_nano.saturating_neg())
    }

    fn state(&self) -> MessageState {
        MessageState {
            lines: self.lines.clone().map(|lines| lines.0).unwrap_or_default(),
            owed_nano: self.owed_nano(),
        }
    }

    fn take_state(&mut self) -> MessageState {
        MessageState {
            lines: self.lines.take().map(|lines| lines.0).unwrap_or_default(),
            owed_nano: self.owed_nano(),
        }
    }
}

impl EventState {
    fn place(&self) -> Option<EntryPlace> {
        Some((self.account_id, self.entry?))
    }

    fn state(&self) -> MessageState {
        MessageState {
            lines: self.lines.clone().map(|lines| lines.0).unwrap_or_default(),
            owed_nano: self.owed_nano.unwrap_or(0),
        }
    }
}
