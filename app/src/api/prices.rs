//! What models cost: the prices in force, their versions, and publishing a new one.

use leptos::prelude::*;
use leptos::server_fn::codec::Json;
use serde::{Deserialize, Serialize};
use shared::price::PriceVersion;

use super::price_draft::PriceDraft;
use crate::error::AppError;

/// A model as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPrice {
    /// In force now; the first one when it only begins in the future.
    pub current: PriceVersion,
    /// The next one to come into force.
    pub scheduled: Option<PriceVersion>,
}

/// Whether a version is the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Past,
    InForce,
    Scheduled,
}

/// One model with all its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersions {
    /// Newest first.
    pub versions: Vec<(PriceVersion, Standing)>,
    /// The highest version number: what an editor has seen; 0 when the model is new.
    pub latest_version: i32,
}

/// All models with their current prices.
#[cfg(feature = "ssr")]
pub async fn model_prices() -> Result<Vec<ModelPrice>, AppError> {
    let (context, _) = crate::auth::administrator().await?;
    let now = crate::auth::now();
    let book = context.ledger.price_book().await?;
    let prices: Vec<ModelPrice> = book
        .current(now)
        .map(|current| ModelPrice {
            current: current.clone(),
            scheduled: book
                .history(&current.model_name)
                .filter(|version| version.effective_from.is_some_and(|from| from > now))
                .filter(|version| version.id != current.id)
                .last()
                .cloned(),
        })
        .collect();
    Ok(prices)
}

/// One model's versions; empty for a model without any.
#[cfg(feature = "ssr")]
pub async fn versions_of_model(model_name: String) -> Result<ModelVersions, AppError> {
    use shared::ids::ModelName;
    use shared::problem::Problem;

    let (context, _) = crate::auth::administrator().await?;
    let model_name: ModelName = model_name
        .parse()
        .map_err(|fault| Problem::field("modelName", fault))?;
    let now = crate::auth::now();
    let book = context.ledger.price_book().await?;
    let in_force_id = book
        .history(&model_name)
        .find(|version| version.effective_from.is_none_or(|from| from <= now))
        .map(|version| version.id);
    let versions: Vec<_> = book
        .history(&model_name)
        .map(|version| {
            let standing = if Some(version.id) == in_force_id {
                Standing::InForce
            } else if version.effective_from.is_some_and(|from| from > now) {
                Standing::Scheduled
            } else {
                Standing::Past
            };
            (version.clone(), standing)
        })
        .collect();
    let latest_version = versions
        .iter()
        .map(|(version, _)| version.version)
        .max()
        .unwrap_or(0);
    Ok(ModelVersions {
        versions,
        latest_version,
    })
}

/// Publishes a price as a new version.
///
/// # Errors
/// A field that does not parse; [`shared::problem::Problem::Outdated`] when somebody published meanwhile.
#[server(prefix = "/api/fn", endpoint = "publish_price", input = Json, output = Json)]
pub async fn publish_price(draft: PriceDraft) -> Result<PriceVersion, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let price = draft.parse()?;
    let published = context
        .ledger
        .publish_price(
            ledger::NewPrice {
                model_name: price.model_name,
                rates: price.rates,
                is_active: draft.is_active,
                effective_from: draft.effective_from,
                note: price.note,
                expected_version: Some(draft.expected_version),
            },
            &actor,
        )
        .await?;
    Ok(published)
}
