//! Values that several tests are about.

use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::UnitPrice;
use shared::price::{PriceVersion, Rates};
use shared::tokens::Tokens;

/// 30 points per 1,000 tokens in, 60 out: the price of the requirements document.
pub fn sample_rates() -> Rates {
    Rates::new(unit_price("30"), unit_price("60"))
}

/// What the message of the requirements document used.
pub const SAMPLE_TOKENS: Tokens = Tokens::new(1500, 800);

pub fn unit_price(points_per_thousand: &str) -> UnitPrice {
    points_per_thousand.parse().unwrap()
}

pub fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

pub fn at(moment: &str) -> Timestamp {
    moment.parse().unwrap()
}

/// A version of a model's price whose input rate is its version number.
pub fn version(name: &str, version: i32, effective_from: Option<&str>) -> PriceVersion {
    PriceVersion {
        id: i64::from(version),
        model_name: model(name),
        version,
        rates: Rates::new(unit_price(&version.to_string()), unit_price("60")),
        is_active: true,
        effective_from: effective_from.map(at),
        created_at: at("2024-01-01T00:00:00Z"),
        created_by: "tests".into(),
        note: None,
    }
}
