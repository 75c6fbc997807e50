//! What an account owes for a message, when refunds and later reports meet.

use shared::money::Overflow;

/// What a message costs, and what is owed of that. All in nanopoints, none negative.
///
/// Invariant: `owed_nano` = [`owed`] of the other three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dues {
    /// Of all lines together.
    pub cost_nano: i64,
    pub owed_nano: i64,
    /// The cost when something was last refunded, and what was then still owed of it; 0 where nothing was.
    pub basis_nano: i64,
    pub cap_nano: i64,
}

/// After a refund: at most what was left then, and all that the message costs more than it did then.
const fn owed(cost: i64, basis: i64, cap: i64) -> i64 {
    if cost > basis {
        // Neither overflows: 0 ≤ cap ≤ basis < cost.
        cap + (cost - basis)
    } else if cost < cap {
        cost
    } else {
        cap
    }
}

impl Dues {
    /// The same message at another cost.
    pub(crate) const fn at_cost(self, cost_nano: i64) -> Self {
        Self {
            cost_nano,
            owed_nano: owed(cost_nano, self.basis_nano, self.cap_nano),
            ..self
        }
    }

    /// After so much was refunded; `None` for more than is owed, and for nothing.
    pub(crate) fn refunded(self, nano: i64) -> Option<Self> {
        let cap_nano = self
            .owed_nano
            .checked_sub(nano)
            .filter(|cap| nano > 0 && *cap >= 0)?;
        Some(Self {
            basis_nano: self.cost_nano,
            cap_nano,
            owed_nano: cap_nano,
            ..self
        })
    }

    /// Whether it was refunded in whole and has not grown since.
    pub(crate) const fn is_refunded(self) -> bool {
        self.basis_nano > 0 && self.cap_nano == 0 && self.cost_nano <= self.basis_nano
    }

    /// Of two messages that turn out to be one, before their reports are merged.
    pub(crate) fn plus(self, other: Self) -> Result<Self, Overflow> {
        let sum = |one: i64, other: i64| one.checked_add(other).ok_or(Overflow);
        Ok(Self {
            cost_nano: sum(self.cost_nano, other.cost_nano)?,
            owed_nano: sum(self.owed_nano, other.owed_nano)?,
            basis_nano: sum(self.basis_nano, other.basis_nano)?,
            cap_nano: sum(self.cap_nano, other.cap_nano)?,
        })
    }
}
