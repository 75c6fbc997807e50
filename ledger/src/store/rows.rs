//! Rows as they are written: each a composite type of the schema, sent as an array.

use sqlx::Postgres;
use sqlx::postgres::{PgHasArrayType, PgTypeInfo};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use std::collections::BTreeMap;

use crate::records::entry::EntryLine;
use shared::usage::Usage;

/// A composite type of the schema, and arrays of it.
macro_rules! composite {
    ($row:ty, $name:literal) => {
        impl sqlx::Type<Postgres> for $row {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($name)
            }
        }

        impl PgHasArrayType for $row {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($name)
            }
        }
    };
}

composite!(AccountChange<'_>, "account_change");
composite!(AccountLimits, "account_limits");
composite!(NewEntry<'_>, "new_entry");
composite!(NewClaim, "new_claim");
composite!(NewCredit, "new_credit");
composite!(CreditChange, "credit_change");
composite!(HoldSettlement, "hold_settlement");
composite!(NewDelivery<'_>, "new_delivery");
composite!(NewMessageEvent, "new_message_event");

#[derive(sqlx::Encode)]
pub(crate) struct AccountChange<'a> {
    pub account_id: Uuid,
    pub entry_count_read: i64,
    pub entry_count: i64,
    pub balance_nano: i64,
    pub last_hash: &'a [u8],
}

#[derive(sqlx::Encode)]
pub(crate) struct AccountLimits {
    pub account_id: Uuid,
    pub held_nano: i64,
    pub debt_limit_nano: i64,
}

#[derive(sqlx::Encode)]
pub(crate) struct NewEntry<'a> {
    pub account_id: Uuid,
    pub entry: i64,
    pub occurred_at: OffsetDateTime,
    pub amount_nano: i64,
    pub balance_after_nano: i64,
    pub kind: &'a str,
    pub corrects_entry: Option<i64>,
    pub follows_entry: Option<i64>,
    pub message: Option<Uuid>,
    pub api_key_id: Option<Uuid>,
    pub namespace_id: Option<i64>,
    pub entrance: Option<&'a str>,
    pub message_id: Option<&'a str>,
    pub conversation_id: Option<&'a str>,
    pub request_id: Option<&'a str>,
    pub lines: Option<Json<&'a [EntryLine]>>,
    pub cost_nano: Option<i64>,
    pub owed_nano: Option<i64>,
    pub basis_nano: Option<i64>,
    pub cap_nano: Option<i64>,
    pub reason: Option<&'a str>,
    pub actor: Option<&'a str>,
    pub hash: &'a [u8],
}

#[derive(Debug, Clone, Copy, sqlx::Encode)]
pub(crate) struct NewClaim {
    pub id: Uuid,
    pub message: Uuid,
    pub account_id: Option<Uuid>,
    pub entry: Option<i64>,
}

#[derive(sqlx::Encode)]
pub(crate) struct NewCredit {
    pub account_id: Uuid,
    pub entry: i64,
    pub amount_nano: i64,
    pub remaining_nano: i64,
    pub is_bought: bool,
    pub expires_at: Option<OffsetDateTime>,
}

#[derive(sqlx::Encode)]
pub(crate) struct CreditChange {
    pub account_id: Uuid,
    pub entry: i64,
    pub remaining_nano: i64,
}

#[derive(Debug, Clone, Copy, sqlx::Encode)]
pub(crate) struct HoldSettlement {
    pub account_id: Uuid,
    pub hold_id: Uuid,
    pub message: Uuid,
}

#[derive(Clone, sqlx::Encode)]
pub(crate) struct NewDelivery<'a> {
    pub received_at: OffsetDateTime,
    pub api_key_id: Uuid,
    pub entrance: &'a str,
    pub outcome: &'a str,
    pub reason: Option<&'a str>,
    pub message_id: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub model_names: Vec<&'a str>,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub charge_nano: Option<i64>,
    pub balance_after_nano: Option<i64>,
    pub body: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Default, sqlx::Encode)]
pub(crate) struct NewMessageEvent {
    pub message: Uuid,
    pub number: i32,
    pub kind: &'static str,
    pub account_id: Uuid,
    pub entry: Option<i64>,
    pub api_key_id: Option<Uuid>,
    pub entrance: Option<&'static str>,
    pub occurred_at: Option<OffsetDateTime>,
    pub usage: Option<Json<Usage>>,
    pub counts_as: Option<i32>,
    pub quarantine_id: Option<Uuid>,
    pub versions: Option<Json<BTreeMap<String, i64>>>,
    pub other: Option<Uuid>,
    pub lines: Option<Json<Vec<EntryLine>>>,
    pub cost_nano: Option<i64>,
    pub owed_nano: Option<i64>,
    pub basis_nano: Option<i64>,
    pub cap_nano: Option<i64>,
}
