//! Messages that wait: seen, charged, put right, given up.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use shared::api::{QuarantineDetail, WebhookAnswer};
use shared::ids::ModelName;
use shared::money::Points;

use super::correction::Correction;
use crate::error::AppError;
use crate::json::Json;

/// A message that waits or has waited, and what can be done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingMessage {
    pub detail: QuarantineDetail,
    /// What charging it as reported would take; absent while that is not possible.
    pub cost: Option<Points>,
    /// Its models that had no active price when it happened.
    pub unpriced: Vec<ModelName>,
}

/// What waits, newest first, without the bodies.
#[cfg(feature = "ssr")]
pub async fn waiting_messages(
    reason: Option<shared::api::QuarantineReason>,
    cursor: Option<String>,
) -> Result<shared::api::Page<shared::api::QuarantineItem>, AppError> {
    use shared::api::PAGE_ITEMS_DEFAULT;

    let (context, _) = crate::auth::administrator().await?;
    let mut page = context
        .ledger
        .quarantine_for(reason, cursor.as_deref(), PAGE_ITEMS_DEFAULT)
        .await?;
    for item in &mut page.items {
        item.body = String::new();
    }
    Ok(page)
}

/// One message, its body indented where it is JSON.
#[cfg(feature = "ssr")]
pub async fn waiting_message(id: String) -> Result<WaitingMessage, AppError> {
    let (context, _) = crate::auth::administrator().await?;
    let mut detail = context.ledger.quarantined(parse_id(&id)?).await?;
    if let Some(indented) = super::indented::indented(&detail.item.body) {
        detail.item.body = indented;
    }
    let book = context.ledger.price_book().await?;
    let (cost, unpriced) = match &detail.usage {
        Some(usage) => cost(&book, usage, detail.item.received_at),
        None => (None, Vec::new()),
    };
    Ok(WaitingMessage {
        detail,
        cost,
        unpriced,
    })
}

/// Charges a message as it was reported, or with what an administrator has put right.
///
/// # Errors
/// A field that does not parse; whatever keeps the ledger from charging it.
#[server(prefix = "/api/fn", endpoint = "charge_waiting", input = Json, output = Json)]
pub async fn charge_waiting(
    id: String,
    correction: Option<Correction>,
) -> Result<WebhookAnswer, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let id = parse_id(&id)?;
    let corrected = match correction {
        Some(correction) => {
            let reported = context.ledger.quarantined(id).await?.usage;
            Some(correction.parse(reported.as_ref())?)
        }
        None => None,
    };
    Ok(context
        .ledger
        .charge_quarantined(id, corrected, &actor)
        .await?)
}

/// Gives a message up, for a reason.
#[server(prefix = "/api/fn", endpoint = "dismiss_waiting", input = Json, output = Json)]
pub async fn dismiss_waiting(id: String, reason: String) -> Result<(), AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let id = parse_id(&id)?;
    Ok(context
        .ledger
        .dismiss_quarantined(id, &reason, &actor)
        .await?)
}

#[cfg(feature = "ssr")]
fn parse_id(id: &str) -> Result<uuid::Uuid, AppError> {
    use shared::problem::Problem;

    id.parse().map_err(|_| AppError::from(Problem::NotFound))
}

/// What a message costs at the prices in force when it happened, and the models without one.
#[cfg(feature = "ssr")]
fn cost(
    book: &shared::price::PriceBook,
    usage: &shared::usage::MessageUsage,
    received_at: shared::clock::Timestamp,
) -> (Option<Points>, Vec<ModelName>) {
    use shared::quote::quote;

    let happened_at = usage
        .occurred_at
        .map_or(received_at, |at| at.min(received_at));
    let mut unpriced = Vec::new();
    let mut cost = Some(Points::ZERO);
    for call in &usage.calls {
        let points = match book.in_force(&call.model_name, happened_at) {
            Ok(version) => quote(&version.rates, &call.tokens)
                .ok()
                .map(|quoted| quoted.points),
            Err(_) => {
                unpriced.push(call.model_name.clone());
                None
            }
        };
        cost = match (cost, points) {
            (Some(cost), Some(points)) => cost.plus(points).ok(),
            _ => None,
        };
    }
    (cost, unpriced)
}
