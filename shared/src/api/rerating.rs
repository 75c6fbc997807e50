//! Pricing past messages again.

use serde::{Deserialize, Serialize};

use super::envelope::PAGE_ITEMS_MAX;
use super::fields::{list, optional, required, within};
use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::{Nano, Points};

/// Which price a model is to have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceChoice {
    #[serde(deserialize_with = "required")]
    pub model_name: ModelName,
    /// The newest unless told.
    #[serde(default, deserialize_with = "optional")]
    pub version: Option<u64>,
}

/// What is to be priced again, and the page of users to tell of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreviewRerating {
    /// When the messages happened: inclusive.
    #[serde(deserialize_with = "required")]
    pub from: Timestamp,
    /// Exclusive.
    #[serde(deserialize_with = "required")]
    pub to: Timestamp,
    /// Other models stay as they are.
    #[serde(deserialize_with = "list")]
    pub prices: Vec<PriceChoice>,
    /// Where the page begins: `nextCursor` of the page before.
    #[serde(default, deserialize_with = "optional")]
    pub cursor: Option<String>,
    /// Items of a page at most; 20 unless told.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    #[serde(default, deserialize_with = "within::<_, 1, PAGE_ITEMS_MAX>")]
    pub limit: Option<u32>,
}

/// What is to be priced again, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartRerating {
    /// When the messages happened: inclusive.
    #[serde(deserialize_with = "required")]
    pub from: Timestamp,
    /// Exclusive.
    #[serde(deserialize_with = "required")]
    pub to: Timestamp,
    /// Other models stay as they are.
    #[serde(deserialize_with = "list")]
    pub prices: Vec<PriceChoice>,
    #[serde(deserialize_with = "required")]
    pub reason: String,
}

/// What a re-rating means to one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RerateDifference {
    pub user_id: UserId,
    pub messages: u64,
    /// What the balance gains; negative when the messages become dearer.
    pub points: Points,
    pub points_nano: Nano,
}

/// What a re-rating would change: the sum, and a page of the users it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RerateDifferences {
    pub users: usize,
    pub messages: u64,
    /// What the balances gain together.
    pub points: Points,
    pub points_nano: Nano,
    /// By user id.
    pub items: Vec<RerateDifference>,
    pub next_cursor: Option<String>,
}
