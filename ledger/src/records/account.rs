//! What an account holds.

use shared::api::{Balance, ExpiringPoints};
use shared::ids::UserId;
use shared::money::Points;

use crate::error::Result;

/// The sum of an account's columns.
#[derive(Default, Clone, Copy, sqlx::FromRow)]
pub(crate) struct Amounts {
    pub balance_nano: i64,
    pub held_nano: i64,
    pub debt_limit_nano: i64,
}

impl Amounts {
    pub(crate) fn available(self) -> Result<Points> {
        let held = Points::from_nano(self.held_nano);
        Ok(Points::from_nano(self.balance_nano).minus(held)?)
    }

    /// What new calls may cost: a debt limit lets them go that far below zero.
    pub(crate) fn usable(self) -> Result<Points> {
        let available = self.available()?.nano();
        Ok(Points::from_nano(
            available.saturating_add(self.debt_limit_nano),
        ))
    }

    /// What is missing for a call. A debt beyond the limit blocks even a free one.
    pub(crate) fn shortfall(self, call: Points) -> Result<Points> {
        Ok(call.minus(self.usable()?)?.max(Points::ZERO))
    }
}

/// The account as its user sees it.
///
/// # Errors
/// Amounts that the ledger cannot subtract: stored data is broken.
pub(crate) fn balance(
    user: &UserId,
    amounts: Amounts,
    expiring: Vec<ExpiringPoints>,
) -> Result<Balance> {
    let balance = Points::from_nano(amounts.balance_nano);
    let held = Points::from_nano(amounts.held_nano);
    let available = amounts.available()?;
    Ok(Balance {
        user_id: user.clone(),
        balance,
        balance_nano: balance.into(),
        held,
        held_nano: held.into(),
        available,
        available_nano: available.into(),
        debt_limit: Points::from_nano(amounts.debt_limit_nano),
        expiring,
    })
}
