//! The views, one folder or file for each group of pages.

pub mod calculator;
pub mod home;
pub mod lazy;
pub mod missing;
pub mod monitor;
pub mod my;
pub mod prices;
pub mod quarantine;
pub mod rerate;
pub mod sign_in;
pub mod sources;
pub mod users;
