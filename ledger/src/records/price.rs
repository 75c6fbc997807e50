//! Price versions: as an author gives one, and as the audit log keeps it.

use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::price::{PriceVersion, Rates};

/// A price to be published.
#[derive(Debug, Clone)]
pub struct NewPrice {
    pub model_name: ModelName,
    pub rates: Rates,
    pub is_active: bool,
    /// `None` is now, or since ever for a model's first version.
    pub effective_from: Option<Timestamp>,
    pub note: Option<String>,
    /// The newest version the author has seen, 0 for none; `None` publishes whatever is there.
    pub expected_version: Option<i32>,
}

/// What the audit log keeps of a version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishedPrice {
    version: i32,
    rates: Rates,
    is_active: bool,
    effective_from: Option<Timestamp>,
}

impl From<&PriceVersion> for PublishedPrice {
    fn from(version: &PriceVersion) -> Self {
        Self {
            version: version.version,
            rates: version.rates,
            is_active: version.is_active,
            effective_from: version.effective_from,
        }
    }
}
