//! Parts that several pages share.

pub mod address_query;
pub mod amount;
pub mod answer;
pub mod awaited;
pub mod badge;
pub mod balance_protection;
pub(crate) mod command;
pub mod confirm;
pub mod erased;
pub mod field;
pub mod figures;
pub mod history;
pub mod layout;
pub mod list;
pub mod moment;
pub mod notice;
pub mod open_items;
pub mod pager;
pub mod preferences;
pub mod reason;
pub mod receipt;
pub mod refusal;
pub mod session;
pub mod sign_in_form;
pub(crate) mod submit;
pub mod table;
pub mod waiting_count;

pub use balance_protection::BalanceProtection;
