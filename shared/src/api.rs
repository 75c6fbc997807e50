//! Shapes on the wire. Amounts come twice: as decimal points, and exactly, in a field whose name
//! ends in `Nano`, as a string of nanopoints.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::dify::MessageUsage;
use crate::ids::{ModelName, UserId};
use crate::locale::Locale;
use crate::money::{Nano, Points};
use crate::price::Rates;
use crate::problem::Problem;
use crate::quote::QuoteLine;
use crate::tokens::Tokens;

/// A successful answer: `{"success":true,"message":…,"data":{…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Success<T> {
    pub success: bool,
    pub message: String,
    pub data: T,
}

impl<T> Success<T> {
    pub fn new(message: impl Into<String>, data: T) -> Self {
        Self {
            success: true,
            message: message.into(),
            data,
        }
    }
}

/// A refusal: `{"success":false,"message":…,"error":{"code":…,"field":…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub success: bool,
    pub message: String,
    pub error: FailureDetail,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FailureDetail {
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Failure {
    #[must_use]
    pub fn new(problem: &Problem, locale: Locale) -> Self {
        Self {
            success: false,
            message: problem.message(locale),
            error: FailureDetail {
                code: problem.code().to_owned(),
                field: problem.field_name().map(str::to_owned),
            },
        }
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Charged,
    /// The message was charged before; the first answer is given again.
    Duplicate,
    /// Kept, not charged; it waits for an administrator or a price.
    Quarantined,
    /// The message was delivered before with other numbers.
    Conflict,
    /// The body was refused; it is kept for the administrator.
    Rejected,
}

impl Outcome {
    pub const ALL: [Self; 5] = [
        Self::Charged,
        Self::Duplicate,
        Self::Quarantined,
        Self::Conflict,
        Self::Rejected,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Duplicate => "duplicate",
            Self::Quarantined => "quarantined",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
        }
    }
}

/// Why a message waits in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    UnknownModel,
    InactivePrice,
    /// The reported total is not the sum of the reported parts.
    ContradictoryTokens,
    /// No tokens at all beside an answer that is not empty.
    ZeroUsage,
    /// More tokens than the operator allows one message.
    TooManyTokens,
    /// The charge does not fit the ledger.
    Overflow,
    /// The body could not be read.
    Unreadable,
    /// Parts of a trace whose user or whose calls never came.
    IncompleteTrace,
}

impl QuarantineReason {
    pub const ALL: [Self; 8] = [
        Self::UnknownModel,
        Self::InactivePrice,
        Self::ContradictoryTokens,
        Self::ZeroUsage,
        Self::TooManyTokens,
        Self::Overflow,
        Self::Unreadable,
        Self::IncompleteTrace,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownModel => "unknown_model",
            Self::InactivePrice => "inactive_price",
            Self::ContradictoryTokens => "contradictory_tokens",
            Self::ZeroUsage => "zero_usage",
            Self::TooManyTokens => "too_many_tokens",
            Self::Overflow => "overflow",
            Self::Unreadable => "unreadable",
            Self::IncompleteTrace => "incomplete_trace",
        }
    }
}

/// `data` of the webhook's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAnswer {
    pub status: Outcome,
    /// `cons_…`; absent while the message waits in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumption_id: Option<String>,
    pub points_deducted: Points,
    pub points_deducted_nano: Nano,
    pub tokens_used: u64,
    pub balance: Points,
    pub balance_nano: Nano,
    /// Why it waits, when `status` is `quarantined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<QuarantineReason>,
}

/// A message that used tokens, as Dify lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServedMessage {
    /// Of a workflow its run id.
    pub message_id: String,
    pub user_id: UserId,
    pub conversation_id: Option<String>,
    pub occurred_at: Timestamp,
    /// Of a workflow all its tokens: Dify tells no more.
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
}

impl ServedMessage {
    /// What it is charged for; `None` where Dify tells no tokens.
    #[must_use]
    pub fn tokens(&self) -> Option<Tokens> {
        let output = self.output_tokens.unwrap_or(0);
        self.input_tokens.map(|input| Tokens::new(input, output))
    }
}

/// The messages of a day, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletenessDay {
    /// `2026-07-23`
    pub day: String,
    pub served: u64,
    pub arrived: u64,
}

/// How complete the reports about a source's messages are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completeness {
    pub source: String,
    /// When Dify was last asked; absent when never.
    pub begun_at: Option<Timestamp>,
    /// When a check last came to its end; absent when none ever did.
    pub checked_at: Option<Timestamp>,
    /// Why the last check did not come to its end.
    pub error: Option<String>,
    /// Newest first, as of the check that looked at the day last.
    pub days: Vec<CompletenessDay>,
    /// Newest first.
    pub missing: Vec<ServedMessage>,
}

impl Completeness {
    /// Messages that Dify served and that arrived, of all days together.
    #[must_use]
    pub fn served_and_arrived(&self) -> (u64, u64) {
        let sum = |count: fn(&CompletenessDay) -> u64| self.days.iter().map(count).sum();
        (sum(|day| day.served), sum(|day| day.arrived))
    }
}

/// What arrived of what was served, in percent with one decimal, rounded down: `100.0 %` means all.
#[must_use]
pub fn arrived_share(served: u64, arrived: u64) -> String {
    let thousandths = u128::from(arrived)
        .saturating_mul(1000)
        .checked_div(served.into())
        .unwrap_or(1000);
    let [whole, rest] = [thousandths / 10, thousandths % 10].map(|digits| digits.to_string());
    [&whole, ".", &rest, " %"].concat()
}

/// What became of a missing message that was to be charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewedMessage {
    pub message_id: String,
    pub answer: Option<WebhookAnswer>,
    /// The code of what stood in the way.
    pub problem: Option<String>,
}

/// What an account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[serde(rename_all = "camelCase")]
pub struct ExpiringPoints {
    pub points: Points,
    pub points_nano: Nano,
    pub expires_at: Timestamp,
}

/// Where an estimate's token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// Body of `POST /api/user/points/check-balance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckBalance {
    pub model_name: ModelName,
    #[serde(default)]
    pub estimated_input_tokens: Option<u64>,
    #[serde(default)]
    pub estimated_output_tokens: Option<u64>,
    /// Whom a service key asks for.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Promise the estimated points to this call, if they are there.
    #[serde(default)]
    pub hold: bool,
    /// How long the promise lasts; 10 minutes unless told, a day at most.
    #[serde(default)]
    pub hold_seconds: Option<u32>,
}

/// Life of a hold, in seconds.
pub const HOLD_SECONDS_DEFAULT: u32 = 600;
pub const HOLD_SECONDS_MAX: u32 = 86_400;

/// What became of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    Open,
    Settled,
    Released,
    Expired,
}

impl HoldStatus {
    pub const ALL: [Self; 4] = [Self::Open, Self::Settled, Self::Released, Self::Expired];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settled => "settled",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// Points promised to one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub hold_id: String,
    pub status: HoldStatus,
    /// Absent for an app whose model is not known beforehand.
    pub model_name: Option<ModelName>,
    pub points: Points,
    pub points_nano: Nano,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Body of `POST /api/user/points/holds/{id}/settle`: what the call really used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleHold {
    /// The held model unless told otherwise.
    #[serde(default)]
    pub model_name: Option<ModelName>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    #[serde(default)]
    pub cached_input_tokens: u64,
    #[serde(default)]
    pub cache_write_tokens: u64,
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// Dify's message id, so that other entrances recognise the message; the hold's own otherwise.
    #[serde(default)]
    pub message_id: Option<String>,
    /// Whom a service key asks for.
    #[serde(default)]
    pub user_id: Option<UserId>,
}

/// `data` of check-balance's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What kind of journal entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A message took points.
    Charge,
    /// Points of a charge were given back.
    Refund,
    /// A charge was priced again; the difference, either way.
    Rerate,
    /// Points were added.
    Grant,
    /// Points that were only good until a certain time are gone.
    Expiry,
    /// An administrator put a balance right, either way.
    Adjustment,
}

impl EntryKind {
    pub const ALL: [Self; 6] = [
        Self::Charge,
        Self::Refund,
        Self::Rerate,
        Self::Grant,
        Self::Expiry,
        Self::Adjustment,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Rerate => "rerate",
            Self::Grant => "grant",
            Self::Expiry => "expiry",
            Self::Adjustment => "adjustment",
        }
    }
}

/// One model call of a charged message, with the price version that was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumptionLine {
    pub model_name: ModelName,
    pub tokens: Tokens,
    pub price_version_id: i64,
    pub price_version: i32,
    /// The version's prices, so that a receipt can be computed again by whoever reads it.
    pub rates: Rates,
    pub points: Points,
}

/// `data` of the answer to a credit or a correction: the journal entry that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedEntry {
    pub user_id: UserId,
    /// 1, 2, 3… within the account.
    pub entry: i64,
    pub kind: EntryKind,
    /// Signed: what the balance gained.
    pub points: Points,
    pub points_nano: Nano,
    pub balance: Points,
    pub balance_nano: Nano,
    /// The entry that this one puts right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects_entry: Option<i64>,
}

/// Points of one origin that have something left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a charge was for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumptionDetail {
    pub consumption_id: String,
    pub message_id: String,
    pub conversation_id: Option<String>,
    pub tokens_used: u64,
    pub lines: Vec<ConsumptionLine>,
}

/// One journal entry as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// 1, 2, 3… within the account.
    pub entry: i64,
    pub kind: EntryKind,
    /// Signed: what the balance gained.
    pub points: Points,
    pub points_nano: Nano,
    pub balance_after: Points,
    pub balance_after_nano: Nano,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub reason: Option<String>,
    /// The entry that this one puts right, or whose points it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects_entry: Option<i64>,
    pub consumption: Option<ConsumptionDetail>,
}

/// A page of a longer list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Filters of a history page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryFilter {
    pub model_name: Option<ModelName>,
    /// Inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub to: Option<Timestamp>,
    pub kind: Option<EntryKind>,
}

/// Page sizes of history.
pub const PAGE_ITEMS_DEFAULT: u32 = 20;
pub const PAGE_ITEMS_MAX: u32 = 100;

/// One delivery, as the live monitor shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveEvent {
    /// Where to resume after this event; opaque.
    pub cursor: String,
    pub received_at: Timestamp,
    pub outcome: Outcome,
    /// The name of the key that delivered it.
    pub source: String,
    pub user_id: Option<String>,
    pub model_name: Option<String>,
    pub message_id: Option<String>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub points: Option<Points>,
    pub balance: Option<Points>,
    /// An error code or a quarantine reason.
    pub reason: Option<String>,
}

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

/// One administrative change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    pub at: Timestamp,
    /// Who, and from where (an address, or `command line`).
    pub actor: String,
    pub origin: String,
    /// `price.publish`, `points.add`, `key.create`…
    pub action: String,
    pub subject: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineItem {
    pub id: String,
    pub received_at: Timestamp,
    pub reason: QuarantineReason,
    pub source: String,
    /// Absent when the body could not be read.
    pub message_id: Option<String>,
    pub user_id: Option<UserId>,
    pub model_names: Vec<ModelName>,
    pub tokens: u64,
    /// The body as received, as far as it is text.
    pub body: String,
}

/// What became of a message that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineStatus {
    Waiting,
    Charged,
    Dismissed,
}

impl QuarantineStatus {
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Charged, Self::Dismissed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Charged => "charged",
            Self::Dismissed => "dismissed",
        }
    }
}

/// A message that waits or has waited, with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineDetail {
    pub item: QuarantineItem,
    pub status: QuarantineStatus,
    pub resolved_at: Option<Timestamp>,
    /// Who dismissed it, and why.
    pub resolved_by: Option<String>,
    pub resolution: Option<String>,
    /// What was reported; absent when the body could not be read.
    pub usage: Option<MessageUsage>,
    /// The body byte for byte, in base64, where it is not text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// Length of a rollup's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollupPeriod {
    Hour,
    /// 24 hours, counted from the beginning of the range, so that a range that begins at somebody's
    /// midnight is told in their days.
    Day,
}

impl RollupPeriod {
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    #[must_use]
    pub const fn hours(self) -> u32 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
        }
    }
}

/// Which entries to sum, by when they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollupFilter {
    /// Inclusive; rounded down to the hour.
    pub from: Timestamp,
    /// Exclusive; rounded up to the hour.
    pub to: Timestamp,
    pub by: RollupPeriod,
    pub user_id: Option<UserId>,
    pub model_name: Option<ModelName>,
    /// The name of the key that delivered the messages.
    pub source: Option<String>,
    pub kind: Option<EntryKind>,
}

/// Periods of one answer at most.
pub const ROLLUP_PERIODS_MAX: u32 = 1000;

/// The sum of entries of one kind, in one period, of one model or from one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollupSum {
    /// When the period begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// The model's name in the form in which names are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub kind: EntryKind,
    /// Journal entries; of charges, model calls.
    pub entries: i64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Signed: what the balances gained.
    pub points: Points,
    pub points_nano: Nano,
}

/// Sums of the journal. Periods without entries are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollups {
    pub from: Timestamp,
    pub to: Timestamp,
    /// One sum for each kind.
    pub totals: Vec<RollupSum>,
    /// Oldest first.
    pub periods: Vec<RollupSum>,
    /// Of charges: the dearest first.
    pub models: Vec<RollupSum>,
    pub sources: Vec<RollupSum>,
}
