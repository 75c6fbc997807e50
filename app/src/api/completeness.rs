//! How much of what Dify served has arrived from a gateway source, and charging what is missing.

use leptos::prelude::*;
use leptos::server_fn::codec::Json;
use serde::{Deserialize, Serialize};
use shared::api::{Completeness, ReviewedMessage};
use shared::ids::UserId;
use shared::money::Points;

use crate::error::AppError;

/// What the last checks of a gateway source found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedSource {
    pub completeness: Completeness,
    pub upstream_url: Option<String>,
    /// The source's own model.
    pub model_name: Option<String>,
    /// Those that can be charged now.
    pub models: Vec<String>,
}

/// What charging missing messages would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewCost {
    /// By their names.
    pub users: Vec<UserCost>,
    /// Messages without a price when they happened, which would wait for one.
    pub unpriced: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCost {
    pub user_id: UserId,
    pub messages: u64,
    pub points: Points,
}

/// The gateway source of a name.
#[cfg(feature = "ssr")]
pub async fn checked_source(
    ledger: &ledger::Ledger,
    name: &str,
) -> Result<CheckedSource, AppError> {
    let source = ledger.gateway_source(Some(name)).await?;
    let book = ledger.price_book().await?;
    let current = book.current(crate::auth::now());
    Ok(CheckedSource {
        completeness: ledger.completeness(&source).await?,
        upstream_url: source.settings.upstream_url.clone(),
        model_name: source.settings.model_name.clone().map(String::from),
        models: current
            .filter(|version| version.is_active)
            .map(|version| version.model_name.as_str().to_owned())
            .collect(),
    })
}

/// Asks Dify what a source's app served in the last days. A failure is no error here: it stands with
/// what is known of the source.
#[server(prefix = "/api/fn", endpoint = "check_completeness", input = Json, output = Json)]
pub async fn check_completeness(source: String, days: u32) -> Result<(), AppError> {
    const DAYS_MAX: u32 = 90;

    let (context, _) = crate::auth::administrator().await?;
    let source = context.ledger.gateway_source(Some(&source)).await?;
    let back = time::Duration::days(days.min(DAYS_MAX).into());
    let since = shared::clock::Timestamp::new(crate::auth::now().moment() - back);
    Ok((context.check_served)(source, since).await?)
}

/// What charging some of the missing messages would take. Nothing is written.
///
/// # Errors
/// A field problem for `modelName`.
#[server(prefix = "/api/fn", endpoint = "cost_of_missing", input = Json, output = Json)]
pub async fn cost_of_missing(
    source: String,
    model_name: String,
    messages: Vec<String>,
) -> Result<ReviewCost, AppError> {
    use std::collections::{BTreeMap, HashSet};

    use shared::problem::{FieldFault, Problem};
    use shared::quote::quote;

    let (context, _) = crate::auth::administrator().await?;
    let model_name = parse_model(&model_name)?;
    let source = context.ledger.gateway_source(Some(&source)).await?;
    let book = context.ledger.price_book().await?;
    let wanted: HashSet<String> = messages.into_iter().collect();
    let mut unpriced = 0;
    let mut users = BTreeMap::new();
    for message in context.ledger.completeness(&source).await?.missing {
        let (true, Some(tokens)) = (wanted.contains(&message.message_id), message.tokens()) else {
            continue;
        };
        let Ok(version) = book.in_force(&model_name, message.occurred_at) else {
            unpriced += 1;
            continue;
        };
        let too_large = |_| Problem::field("modelName", FieldFault::TooLarge);
        let quoted = quote(&version.rates, &tokens).map_err(too_large)?;
        let (messages, points) = users.entry(message.user_id).or_insert((0, Points::ZERO));
        *messages += 1;
        *points = points.plus(quoted.points).map_err(too_large)?;
    }
    let users = users.into_iter().map(|(user_id, cost)| UserCost {
        user_id,
        messages: cost.0,
        points: cost.1,
    });
    Ok(ReviewCost {
        users: users.collect(),
        unpriced,
    })
}

/// Charges some of the missing messages.
///
/// # Errors
/// A field problem for `modelName`; what stands in the way of one message is told with it.
#[server(prefix = "/api/fn", endpoint = "charge_missing", input = Json, output = Json)]
pub async fn charge_missing(
    source: String,
    model_name: String,
    messages: Vec<String>,
) -> Result<Vec<ReviewedMessage>, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let model_name = parse_model(&model_name)?;
    let source = context.ledger.gateway_source(Some(&source)).await?;
    let charged = context
        .ledger
        .charge_missing(&source, Some(&messages), Some(model_name), &actor);
    Ok(crate::error::explain::reviewed(charged.await?))
}

#[cfg(feature = "ssr")]
fn parse_model(name: &str) -> Result<shared::ids::ModelName, AppError> {
    use shared::problem::Problem;

    name.parse()
        .map_err(|fault| Problem::field("modelName", fault).into())
}
