//! One module for each outside party. None of them knows another.

pub mod admin;
pub mod gateway;
pub mod guard;
pub mod health;
pub mod holds;
pub mod langfuse;
pub mod live;
pub mod openai;
pub mod points;
pub mod site;
pub mod webhook;
