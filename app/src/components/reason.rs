//! Why something was not charged, in a few words.

use shared::api::QuarantineReason;

use crate::text::{Say, Texts};

/// A reason in a few words.
#[must_use]
pub fn reason_label(reason: QuarantineReason) -> Say {
    match reason {
        QuarantineReason::UnknownModel => |t: &'static Texts| t.reason.unknown_model,
        QuarantineReason::InactivePrice => |t: &'static Texts| t.reason.inactive_price,
        QuarantineReason::ContradictoryTokens => |t: &'static Texts| t.reason.contradictory_tokens,
        QuarantineReason::ZeroUsage => |t: &'static Texts| t.reason.zero_usage,
        QuarantineReason::TooManyTokens => |t: &'static Texts| t.reason.too_many_tokens,
        QuarantineReason::Overflow => |t: &'static Texts| t.reason.overflow,
        QuarantineReason::Unreadable => |t: &'static Texts| t.reason.unreadable,
        QuarantineReason::IncompleteTrace => |t: &'static Texts| t.reason.incomplete_trace,
    }
}
