//! Parts that several pages share.

pub mod amount;
pub mod awaited;
pub mod badge;
pub mod balance_protection;
pub mod confirm;
pub mod field;
pub mod layout;
pub mod moment;
pub mod notice;
pub mod pager;
pub mod preferences;
pub mod receipt;
pub mod refusal;
pub mod table;

pub use balance_protection::BalanceProtection;
