//! What the signed-in user has, and whether they can afford a call.

use serde::{Deserialize, Serialize};
use shared::api::{Balance, BalanceCheck};
use shared::ids::ModelName;

/// What the page needs at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    pub balance: Balance,
    /// Models that can be called: priced and active.
    pub models: Vec<ModelName>,
}

/// The signed-in user's balance, and the models they can call.
#[cfg(feature = "ssr")]
pub async fn my_overview() -> Result<Overview, crate::error::AppError> {
    let subject = crate::auth::subject(None).await?;
    let ledger = &subject.context.ledger;
    let balance = ledger.balance(&subject.user_id).await?;
    let book = ledger.price_book().await?;
    let now = crate::auth::now();
    let models = book
        .current(now)
        .filter(|version| book.in_force(&version.model_name, now).is_ok())
        .map(|version| version.model_name.clone())
        .collect();
    Ok(Overview { balance, models })
}

/// The gate's answer, and where to buy points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    pub check: BalanceCheck,
    pub recharge_url: Option<String>,
}

/// Whether the signed-in user can afford a call.
///
/// # Errors
/// A name that is none, and whatever keeps the gate from answering.
#[cfg(feature = "ssr")]
pub async fn protection(
    model_name: &str,
    input: u64,
    output: u64,
) -> Result<Protection, crate::error::AppError> {
    use shared::problem::Problem;

    let not_a_name = |fault| Problem::field("modelName", fault);
    let request = shared::api::CheckBalance {
        model_name: model_name.parse().map_err(not_a_name)?,
        estimated_input_tokens: Some(input),
        estimated_output_tokens: Some(output),
        user_id: None,
        hold: false,
        hold_seconds: None,
    };
    let subject = crate::auth::subject(None).await?;
    let ledger = &subject.context.ledger;
    Ok(Protection {
        check: ledger.check_balance(&subject.user_id, &request).await?,
        recharge_url: subject.context.recharge_url,
    })
}
