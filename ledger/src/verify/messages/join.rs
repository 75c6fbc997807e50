//! Messages that turned out to be one: the reports of the one that ended go on in the other.

use uuid::Uuid;

use super::replay::Replay;
use super::replayed::{Replayed, Result, reported};
use crate::store::message::EventRow;

impl Replay<'_> {
    /// Takes a message in that ended here; `events` begin with those that say so. Returns the events
    /// after them.
    pub(super) fn join<'e>(
        &self,
        it: &mut Replayed,
        other: Uuid,
        events: &'e [EventRow],
        depth: u32,
    ) -> Result<&'e [EventRow]> {
        let ended = self.of_joined(other, depth + 1)?;
        let own = it.message.id.0;
        let end = ended
            .end
            .filter(|(_, into)| *into == own)
            .map(|(number, _)| number);
        let end = end.ok_or_else(|| {
            it.fault("reports of another message go on in it, which did not end here")
        })?;
        if it.joined.contains(&other) {
            return Err(it.fault("another message goes on in it twice"));
        }
        let from = it.message.next_number;
        let last = from.saturating_add(end);
        let is_copy = |event: &&EventRow| {
            let number = u32::try_from(event.number).ok();
            event.other == Some(other) && number.is_some_and(|it| (from..=last).contains(&it))
        };
        let copies = events.iter().take_while(is_copy).count();
        let (copies, rest) = events.split_at_checked(copies).unwrap_or((events, &[]));
        compare(it, &ended, copies, (from, last))?;
        take_in(it, &ended, from)?;
        it.joined.push(other);
        it.message.next_number = last.saturating_add(1);
        Ok(rest)
    }
}

/// The events say what the other message's reports and price versions were.
fn compare(
    it: &Replayed,
    ended: &Replayed,
    copies: &[EventRow],
    (from, last): (u32, u32),
) -> Result<()> {
    let other = ended.message.renumbered(from);
    let mut in_effect = 0;
    let mut has_versions = false;
    for event in copies {
        let is_right = match event.kind.as_str() {
            "report" => {
                in_effect += 1;
                other.in_effect.contains(&reported(it, event)?)
            }
            // Those that have ceased to wait do not go on.
            "waiting" => other.waiting.contains(&reported(it, event)?),
            "rerate" => {
                has_versions = true;
                let versions = event.versions.as_ref().map(|versions| &versions.0);
                u32::try_from(event.number) == Ok(last) && versions == Some(&other.versions)
            }
            _ => false,
        };
        if !is_right {
            let what = "a report that went on in it is not what the other message says";
            return Err(it.fault_at(event, what));
        }
    }
    if in_effect != other.in_effect.len() || has_versions == other.versions.is_empty() {
        return Err(it.fault("not all reports of another message went on in it"));
    }
    Ok(())
}

fn take_in(it: &mut Replayed, ended: &Replayed, from: u32) -> Result<()> {
    let other = ended.message.renumbered(from);
    let dues = it.message.dues.plus(other.dues);
    it.message.dues = dues.map_err(|_| it.fault("more is owed than there are numbers"))?;
    it.message.in_effect.extend(other.in_effect);
    it.message.waiting.extend(other.waiting);
    it.message.lines.extend(other.lines);
    for (model, version) in other.versions {
        it.message.versions.entry(model).or_insert(version);
    }
    it.gained_nano += ended.gained_nano;
    Ok(())
}
