//! The domain of Tollgate, pure: no I/O, no clock, no framework. The same code runs in the server,
//! in the ledger and in the browser, so a price is computed in exactly one way.

pub mod api;
pub mod clock;
pub mod formats;
pub mod ids;
pub mod locale;
pub mod money;
pub mod price;
pub mod problem;
pub mod quote;
pub mod source;
pub mod tokens;
pub mod usage;
