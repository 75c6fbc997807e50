//! Credits: an account's points by where they came from and until when they are good. Pure; the
//! locked account writes the rows.
//!
//! Invariant: what is left of all credits together is the balance, or zero when that is negative.

use time::OffsetDateTime;

/// What of a credit is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CreditState {
    New,
    /// There is a row of it, which tells another remainder.
    Changed,
    Stored,
}

/// Points from one entry, and what is left of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credit {
    /// The entry that brought them.
    pub entry: i64,
    pub amount_nano: i64,
    pub remaining_nano: i64,
    pub is_bought: bool,
    pub expires_at: Option<OffsetDateTime>,
    /// What has to be written of it.
    pub state: CreditState,
}

impl Credit {
    pub(crate) fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Takes points that it has.
    const fn take(&mut self, nano: i64) {
        self.remaining_nano -= nano;
        if matches!(self.state, CreditState::Stored) {
            self.state = CreditState::Changed;
        }
    }

    /// Soonest expiry first, what never expires last; then granted before bought; then oldest.
    fn burn_order(&self) -> (bool, Option<OffsetDateTime>, bool, i64) {
        (
            self.expires_at.is_none(),
            self.expires_at,
            self.is_bought,
            self.entry,
        )
    }
}

/// The credits of one account that have something left, and those that a transaction used up.
#[derive(Debug, Clone, Default)]
pub(crate) struct CreditList(Vec<Credit>);

impl CreditList {
    pub(crate) fn insert(&mut self, credit: Credit) {
        let place = self
            .0
            .partition_point(|it| it.burn_order() < credit.burn_order());
        self.0.insert(place, credit);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Credit> {
        self.0.iter()
    }

    /// Takes up to `nano` in burn order; what credits cannot cover is debt.
    pub(crate) fn burn(&mut self, mut nano: i64) {
        for credit in &mut self.0 {
            let taken = nano.min(credit.remaining_nano);
            if taken > 0 {
                credit.take(taken);
                nano -= taken;
            }
        }
    }

    /// Takes up to `nano` from one credit.
    pub(crate) fn burn_entry(&mut self, entry: i64, nano: i64) {
        for credit in self.0.iter_mut().filter(|credit| credit.entry == entry) {
            credit.take(nano.min(credit.remaining_nano));
        }
    }

    /// Forgets the credits that have nothing left, and says which those were.
    pub(crate) fn remove_used_up(&mut self) -> Vec<Credit> {
        let (used_up, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|credit| credit.remaining_nano == 0);
        self.0 = left;
        used_up
    }

    /// All of it is in the database now.
    pub(crate) fn written(&mut self) {
        self.0.retain(|credit| credit.remaining_nano > 0);
        for credit in &mut self.0 {
            credit.state = CreditState::Stored;
        }
    }

    /// The first credit that is past its time and still has something left.
    pub(crate) fn next_expired(&self, now: OffsetDateTime) -> Option<&Credit> {
        self.0
            .iter()
            .find(|credit| credit.remaining_nano > 0 && credit.has_expired(now))
    }
}
