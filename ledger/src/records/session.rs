//! Sessions: random tokens with an owner and an end.

use shared::clock::Timestamp;
use shared::ids::UserId;

/// A token in clear, for the only time.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub token: String,
    pub expires_at: Timestamp,
}

/// Whoever presents a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    Administrator { name: String },
    User(UserId),
}

/// Whose session is to be opened.
pub(crate) enum Owner<'a> {
    Administrator(i64),
    User(&'a UserId),
}
