//! Accounts, as the administrator lists them.

use serde::{Deserialize, Serialize};

use super::envelope::PAGE_ITEMS_MAX;
use super::fields::{optional, required, within};
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::money::Points;

/// An account as the administrator lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AccountSummary {
    pub user_id: UserId,
    pub balance: Points,
    pub held: Points,
    pub entries: i64,
    pub updated_at: Timestamp,
}

/// Query of a page of accounts, by user id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountsQuery {
    /// What the user ids begin with.
    #[serde(default, deserialize_with = "optional")]
    pub search: Option<String>,
    /// Where the page begins: `nextCursor` of the page before.
    #[serde(default, deserialize_with = "optional")]
    pub cursor: Option<String>,
    /// Items of a page at most; 20 unless told.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    #[serde(default, deserialize_with = "within::<_, 1, PAGE_ITEMS_MAX>")]
    pub limit: Option<u32>,
}

/// How far below zero new calls of a user may go. What was really used is always charged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetDebtLimit {
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schema::written_points))]
    #[serde(deserialize_with = "required")]
    pub debt_limit: Points,
}

/// Who is to get a token, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateToken {
    #[serde(deserialize_with = "required")]
    pub user_id: UserId,
    /// An hour unless told, a day at most.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1440))]
    #[serde(default, deserialize_with = "within::<_, 1, TOKEN_MINUTES_MAX>")]
    pub minutes: Option<u32>,
}

/// Life of a token, in minutes.
pub const TOKEN_MINUTES_DEFAULT: u32 = 60;
pub const TOKEN_MINUTES_MAX: u32 = 24 * 60;

/// A token with which a user asks for their own points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct UserToken {
    /// For `Authorization: Bearer …` on `/api/user/*`.
    pub token: String,
    pub expires_at: Timestamp,
    /// Opened in a browser, it signs the user in.
    pub sign_in_url: String,
}
