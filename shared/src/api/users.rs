//! Accounts, as the administrator lists them.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::money::Points;

/// An account as the administrator lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountSummary {
    pub user_id: UserId,
    pub balance: Points,
    pub held: Points,
    pub entries: i64,
    pub updated_at: Timestamp,
}
