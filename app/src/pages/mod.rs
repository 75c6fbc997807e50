//! One folder or file per page; the server functions of a page are beside it.

pub mod calculator;
pub mod home;
pub mod missing;
pub mod monitor;
pub mod my;
pub mod prices;
pub mod quarantine;
pub mod rerate;
pub mod sign_in;
pub mod sources;
pub mod users;
