//! Prices: what a token costs, in which version, since when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::ModelName;
use crate::money::{Points, UnitPrice};
use crate::tokens::Category;

/// Unit prices of one model. A category without its own price costs what its parent costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    pub input: UnitPrice,
    pub output: UnitPrice,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<UnitPrice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<UnitPrice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<UnitPrice>,
    /// Taken once per model call, whatever its tokens.
    #[serde(default)]
    pub per_request: Points,
}

impl Rates {
    #[must_use]
    pub const fn new(input: UnitPrice, output: UnitPrice) -> Self {
        Self {
            input,
            output,
            cached_input: None,
            cache_write: None,
            reasoning: None,
            per_request: Points::ZERO,
        }
    }

    #[must_use]
    pub fn of(&self, category: Category) -> UnitPrice {
        match category {
            Category::Input => self.input,
            Category::Output => self.output,
            Category::CachedInput => self.cached_input.unwrap_or(self.input),
            Category::CacheWrite => self.cache_write.unwrap_or(self.input),
            Category::Reasoning => self.reasoning.unwrap_or(self.output),
        }
    }
}

/// One published price of one model. Versions are never changed: a new price is a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceVersion {
    pub id: i64,
    pub model_name: ModelName,
    /// 1, 2, 3… within the model.
    pub version: i32,
    pub rates: Rates,
    /// An inactive version keeps the model's messages waiting instead of charging them.
    pub is_active: bool,
    /// From this moment on; `None` is "since ever", which a model's first version is, so that a
    /// message that happened before its model had any price can still be charged.
    pub effective_from: Option<Timestamp>,
    pub created_at: Timestamp,
    pub created_by: String,
    pub note: Option<String>,
}

impl PriceVersion {
    fn starts_by(&self, at: Timestamp) -> bool {
        self.effective_from.is_none_or(|from| from <= at)
    }
}

/// Why a model has no price at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    UnknownModel,
    InactivePrice,
}

/// All price versions, immutable; the question it answers is "which one was in force then?".
#[derive(Debug, Clone, Default)]
pub struct PriceBook {
    /// By model key, oldest first: later `effective_from` later, equal moments by version.
    models: BTreeMap<String, Vec<PriceVersion>>,
    revision: i64,
}

impl PriceBook {
    #[must_use]
    pub fn new(versions: impl IntoIterator<Item = PriceVersion>) -> Self {
        let mut book = Self::default();
        for version in versions {
            book.revision = book.revision.max(version.id);
            book.models
                .entry(version.model_name.key())
                .or_default()
                .push(version);
        }
        for versions in book.models.values_mut() {
            versions.sort_by_key(|version| (version.effective_from, version.version));
        }
        book
    }

    /// The highest version id in the book; a ledger compares it to see whether the book is current.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// The version that is in force for a model at a moment.
    ///
    /// # Errors
    /// [`Unpriced`] when there is none, or when the one in force is inactive.
    pub fn in_force(&self, model: &ModelName, at: Timestamp) -> Result<&PriceVersion, Unpriced> {
        let version = self
            .version_at(&model.key(), at)
            .ok_or(Unpriced::UnknownModel)?;
        if version.is_active {
            Ok(version)
        } else {
            Err(Unpriced::InactivePrice)
        }
    }

    /// Of every model the version in force at a moment, active or not; models whose first version
    /// lies in the future show that one.
    pub fn current(&self, at: Timestamp) -> impl Iterator<Item = &PriceVersion> {
        self.models
            .iter()
            .filter_map(move |(key, versions)| self.version_at(key, at).or(versions.first()))
    }

    /// All versions of a model, newest first.
    pub fn history(&self, model: &ModelName) -> impl Iterator<Item = &PriceVersion> {
        self.models
            .get(&model.key())
            .into_iter()
            .flat_map(|versions| versions.iter().rev())
    }

    /// A model's version of this number, or its newest.
    #[must_use]
    pub fn version(&self, model: &ModelName, number: Option<i32>) -> Option<&PriceVersion> {
        match number {
            Some(number) => self.history(model).find(|it| it.version == number),
            None => self.history(model).max_by_key(|it| it.version),
        }
    }

    /// A model's version of this id.
    #[must_use]
    pub fn by_id(&self, model: &ModelName, id: i64) -> Option<&PriceVersion> {
        self.history(model).find(|version| version.id == id)
    }

    fn version_at(&self, model_key: &str, at: Timestamp) -> Option<&PriceVersion> {
        self.models
            .get(model_key)?
            .iter()
            .rev()
            .find(|version| version.starts_by(at))
    }
}
