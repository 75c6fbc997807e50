//! What all outside parties share: the state of the server, requests and answers as they are read and
//! written here, and the servers behind sources.

pub mod administrator;
pub mod answer;
pub mod blocked;
pub mod body;
pub mod headers;
pub mod metered;
pub mod refusal;
pub mod rejection;
pub mod request;
pub mod state;
pub mod upstream;
