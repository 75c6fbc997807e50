//! Balances, estimates, and points that were added.

use serde::{Deserialize, Serialize};

use super::fields::{optional, required, usual, within};
use super::holds::HOLD_SECONDS_MAX;
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::{Nano, Points};
use crate::quote::QuoteLine;
use crate::tokens::Tokens;

/// What an account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    pub user_id: UserId,
    pub balance: Points,
    pub balance_nano: Nano,
    /// Promised to calls that are under way.
    pub held: Points,
    pub held_nano: Nano,
    /// `balance − held`: what the next call can use.
    pub available: Points,
    pub available_nano: Nano,
    /// How far below zero the next call may go.
    #[serde(default)]
    pub debt_limit: Points,
    /// Points that are only good until a certain time, soonest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiring: Vec<ExpiringPoints>,
}

/// Points that expire unless they are used before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExpiringPoints {
    pub points: Points,
    pub points_nano: Nano,
    pub expires_at: Timestamp,
}

/// Where an estimate's token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum EstimateBasis {
    /// Given in the request.
    Request,
    /// The average of the user's recent messages with this model, rounded up.
    UserHistory,
    /// The average of everybody's recent messages with this model, rounded up.
    ModelHistory,
    /// Nothing is known: 1,000 tokens in, 500 out.
    Default,
}

/// Used where nothing is known about a model's messages.
pub const DEFAULT_TOKENS: Tokens = Tokens::new(1000, 500);

/// What a call would cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    pub model_name: ModelName,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub basis: EstimateBasis,
    pub estimated_points: Points,
    pub estimated_points_nano: Nano,
    pub per_request: Points,
    pub lines: Vec<QuoteLine>,
    pub price_version: i32,
    pub price_version_id: i64,
}

/// Whose points are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserQuery {
    /// Whom a key or an administrator asks for.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<UserId>,
}

/// Query of an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EstimateQuery {
    #[serde(deserialize_with = "required")]
    pub model_name: ModelName,
    /// From history unless told.
    #[serde(default, deserialize_with = "optional")]
    pub input_tokens: Option<u64>,
    /// From history unless told.
    #[serde(default, deserialize_with = "optional")]
    pub output_tokens: Option<u64>,
    /// Whose history counts; a key or an administrator need not name anybody.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<UserId>,
}

/// Can a user pay for a call?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckBalance {
    #[serde(deserialize_with = "required")]
    pub model_name: ModelName,
    /// From history unless told.
    #[serde(default, deserialize_with = "optional")]
    pub estimated_input_tokens: Option<u64>,
    /// From history unless told.
    #[serde(default, deserialize_with = "optional")]
    pub estimated_output_tokens: Option<u64>,
    /// Whom a key or an administrator asks for.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<UserId>,
    /// Promise the estimated points to this call, if they are there.
    #[serde(default, deserialize_with = "usual")]
    pub hold: bool,
    /// How long the promise lasts; 10 minutes unless told.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86400))]
    #[serde(default, deserialize_with = "within::<_, 1, HOLD_SECONDS_MAX>")]
    pub hold_seconds: Option<u32>,
}

/// `data` of check-balance's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BalanceCheck {
    pub can_proceed: bool,
    pub balance: Points,
    pub balance_nano: Nano,
    pub held: Points,
    pub held_nano: Nano,
    pub available: Points,
    pub available_nano: Nano,
    pub estimate: Estimate,
    /// What is missing; 0 when the call is affordable.
    pub shortfall: Points,
    pub shortfall_nano: Nano,
    /// How many such calls the available points pay for; absent when a call is free.
    pub affordable_calls: Option<u64>,
    /// How many output tokens they pay for beside the estimated input; absent when output is free.
    pub affordable_output_tokens: Option<u64>,
    /// The promise, when one was asked for and the call can proceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Points of one origin that have something left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreditItem {
    /// The entry that brought them.
    pub entry: i64,
    pub points: Points,
    pub points_nano: Nano,
    pub remaining: Points,
    pub remaining_nano: Nano,
    /// Bought points are used after granted ones.
    pub is_bought: bool,
    /// Good until then; absent for ever.
    pub expires_at: Option<Timestamp>,
}

/// What is left of a user's points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Credits {
    pub user_id: UserId,
    /// In the order in which they are used: soonest expiry first, then granted before bought, then
    /// oldest.
    pub items: Vec<CreditItem>,
}

/// Whose credits are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreditsQuery {
    #[serde(deserialize_with = "required")]
    pub user_id: UserId,
}

/// Points to be added to an account, or taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddCredit {
    #[serde(deserialize_with = "required")]
    pub user_id: UserId,
    /// Negative points are a manual adjustment and have no expiry.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schema::written_points))]
    #[serde(deserialize_with = "required")]
    pub points: Points,
    #[serde(deserialize_with = "required")]
    pub reason: String,
    /// Bought points are used after granted ones.
    #[serde(default, deserialize_with = "usual")]
    pub is_bought: bool,
    /// Good until then; for ever unless told.
    #[serde(default, deserialize_with = "optional")]
    pub expires_at: Option<Timestamp>,
}

/// A charge of which points are to be given back, named by `entry` or by `consumptionId`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefundCharge {
    #[serde(deserialize_with = "required")]
    pub user_id: UserId,
    /// The charge's number in the user's history.
    #[serde(default, deserialize_with = "optional")]
    pub entry: Option<u64>,
    /// The charge's id, `cons_…`.
    #[serde(default, deserialize_with = "optional")]
    pub consumption_id: Option<String>,
    /// All that the charge still stands for unless told, and never more.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schema::written_points))]
    #[serde(default, deserialize_with = "optional")]
    pub points: Option<Points>,
    #[serde(deserialize_with = "required")]
    pub reason: String,
}
