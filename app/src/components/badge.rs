//! Words with a colour, for states. The word alone carries the meaning; the colour only helps.

use leptos::prelude::*;
use shared::api::{EntryKind, Outcome};

use crate::components::erased::Erase;
use crate::text::{Say, Texts, use_text};

/// How a state feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Quiet,
    Waiting,
    Bad,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "badge good",
            Self::Quiet => "badge quiet",
            Self::Waiting => "badge waiting",
            Self::Bad => "badge bad",
        }
    }
}

#[component]
pub fn Badge(tone: Tone, label: Say) -> impl IntoView {
    let text = use_text();
    view! { <span class=tone.class()>{text.say(label)}</span> }.erased()
}

#[must_use]
pub const fn outcome_tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Charged => Tone::Good,
        Outcome::Duplicate => Tone::Quiet,
        Outcome::Quarantined => Tone::Waiting,
        Outcome::Conflict | Outcome::Rejected => Tone::Bad,
    }
}

#[must_use]
pub fn outcome_label(outcome: Outcome) -> Say {
    match outcome {
        Outcome::Charged => |t: &'static Texts| t.outcome.charged,
        Outcome::Duplicate => |t: &'static Texts| t.outcome.duplicate,
        Outcome::Quarantined => |t: &'static Texts| t.outcome.quarantined,
        Outcome::Conflict => |t: &'static Texts| t.outcome.conflict,
        Outcome::Rejected => |t: &'static Texts| t.outcome.rejected,
    }
}

#[must_use]
pub const fn kind_tone(kind: EntryKind) -> Tone {
    match kind {
        EntryKind::Charge => Tone::Quiet,
        EntryKind::Grant | EntryKind::Refund => Tone::Good,
        EntryKind::Correction | EntryKind::Rerate | EntryKind::Expiry | EntryKind::Adjustment => {
            Tone::Waiting
        }
    }
}

#[must_use]
pub fn kind_label(kind: EntryKind) -> Say {
    match kind {
        EntryKind::Charge => |t: &'static Texts| t.kind.charge,
        EntryKind::Correction => |t: &'static Texts| t.kind.correction,
        EntryKind::Grant => |t: &'static Texts| t.kind.grant,
        EntryKind::Refund => |t: &'static Texts| t.kind.refund,
        EntryKind::Rerate => |t: &'static Texts| t.kind.rerate,
        EntryKind::Expiry => |t: &'static Texts| t.kind.expiry,
        EntryKind::Adjustment => |t: &'static Texts| t.kind.adjustment,
    }
}
