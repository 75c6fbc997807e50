//! The books: accounts and what is entered in them, prices, keys, and who did what. All SQL is here.
//!
//! Each folder uses those before it: `records` are values, `store` has the statements and rows,
//! `process` is what one process keeps in memory, and `operations` is what callers do with a
//! [`Ledger`].
//!
//! Lock order, for everything that writes: the idempotency key, the price lock, then accounts by id,
//! then messages.

mod charging;
mod error;
mod operations;
mod posting;
mod process;
mod records;
mod store;
mod sums;
mod verify;

pub use charging::delivery::Delivery;
pub use charging::queue::DeliveryRefusal;
pub use error::{Attempt, Error, OperationError, Result};
pub use operations::account::{Grant, GrantRefusal, NegativeDebtLimit, ReasonFault};
pub use operations::administrator::{AdministratorRefusal, SignInRefusal};
pub use operations::api_key::{KeyNameFault, UnknownKey};
pub use operations::call_check::CheckRefusal;
pub use operations::delivery::Rejection;
pub use operations::hold::{HoldRefusal, ReleaseRefusal, SettleRefusal, UnknownHold};
pub use operations::idempotency::KeyReused;
pub use operations::job::UnknownJob;
pub use operations::ledger::Ledger;
pub use operations::live_feed::{LivePage, UnknownFeedPlace};
pub use operations::missing_message::{MissingRefusal, NoModelNamed, ReviewedCharge};
pub use operations::password::PasswordFault;
pub use operations::price::PriceRefusal;
pub use operations::quarantine::{DismissRefusal, NotInQuarantine, QuarantineRefusal};
pub use operations::refund::{RefundRefusal, UnknownCharge};
pub use operations::report::UnknownMessage;
pub use operations::rerate::{RerateEffect, RerateRefusal};
pub use operations::rollup::RollupRefusal;
pub use operations::schema::Schema;
pub use operations::session::LifeOutOfRange;
pub use operations::source::{GatewayRefusal, SourceRefusal};
pub use records::actor::Actor;
pub use records::api_key::{ApiKey, ApiKeySummary, CreatedKey};
pub use records::call_check::{CallCheck, CallEstimate};
pub use records::completeness::CompletenessShare;
pub use records::entrance::Entrance;
pub use records::estimate::EstimateRefusal;
pub use records::idempotency_key::IdempotencyKey;
pub use records::job::JobSummary;
pub use records::page::UnknownCursor;
pub use records::paused_run::{ForgottenRun, PausedRun, RunLease};
pub use records::price::NewPrice;
pub use records::rerating::Rerating;
pub use records::scope::Scope;
pub use records::sealing::SealingKey;
pub use records::session::{NewSession, Visitor};
pub use records::settings::Settings;
pub use records::source::{LastDelivery, NewSource, SourceSummary};
pub use records::trace::TraceEvent;
pub use records::usage_sum::{
    UsageClock, UsageCut, UsageFilter, UsageKey, UsageMeasures, UsageSums,
};
pub use verify::{Finding, Pass, VerifyReport};
