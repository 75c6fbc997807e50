//! The public form of a hold's id.

use uuid::Uuid;

pub(crate) fn public(hold_id: Uuid) -> String {
    format!("hold_{}", hold_id.simple())
}

/// Reads the public form; `None` for what names no hold.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    text.strip_prefix("hold_")?.parse().ok()
}
