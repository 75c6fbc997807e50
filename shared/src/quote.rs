//! What tokens cost. The one implementation, for the ledger, the estimate, the calculator, the
//! receipt and the browser.

use serde::{Deserialize, Serialize};

use crate::money::{Overflow, Points, UnitPrice};
use crate::price::Rates;
use crate::tokens::{Category, Tokens};

/// One token category's part of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuoteLine {
    pub category: Category,
    pub tokens: u64,
    /// Points per 1,000 tokens.
    pub unit_price: UnitPrice,
    pub points: Points,
}

/// A charge and how it comes about: `points` = Σ of the lines + `per_request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    /// Only categories with tokens.
    pub lines: Vec<QuoteLine>,
    pub per_request: Points,
    pub points: Points,
}

/// Prices one model call: Σ tokens × unit price + the per-request price. No division, no rounding.
///
/// # Errors
/// [`Overflow`] when the charge, or one of its lines, does not fit the ledger.
pub fn quote(rates: &Rates, tokens: &Tokens) -> Result<Quote, Overflow> {
    let mut lines = Vec::new();
    for category in Category::ALL {
        let count = tokens.of(category);
        if count > 0 {
            let unit_price = rates.of(category);
            lines.push(QuoteLine {
                category,
                tokens: count,
                unit_price,
                points: line_points(unit_price, count)?,
            });
        }
    }
    let points = Points::sum(
        lines
            .iter()
            .map(|line| line.points)
            .chain([rates.per_request]),
    )?;
    Ok(Quote {
        lines,
        per_request: rates.per_request,
        points,
    })
}

fn line_points(unit_price: UnitPrice, tokens: u64) -> Result<Points, Overflow> {
    // |i64 × u64| < 2^127, so the product itself cannot overflow.
    Points::try_from(i128::from(unit_price.nano_per_token()) * i128::from(tokens))
}

/// How many output tokens `available` pays for beside `tokens`' other categories; `None` when even
/// those are too much, `u64::MAX` when output costs nothing.
///
/// For display only: it divides, so it has no place on the charge path.
#[must_use]
pub fn affordable_output(rates: &Rates, tokens: &Tokens, available: Points) -> Option<u64> {
    let without_output = Tokens {
        output: 0,
        ..*tokens
    };
    let rest = available
        .minus(quote(rates, &without_output).ok()?.points)
        .ok()?;
    if rest.is_negative() {
        return None;
    }
    match rates.of(Category::Output).nano_per_token() {
        0 => Some(u64::MAX),
        unit => u64::try_from(rest.nano() / unit).ok(),
    }
}
