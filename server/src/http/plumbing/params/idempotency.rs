use axum::http::HeaderMap;
use ledger::IdempotencyKey;
use shared::problem::{FieldFault, Problem};

/// The `Idempotency-Key` of a request, by which its sender may repeat it.
///
/// # Errors
/// A field problem for `Idempotency-Key`.
pub fn idempotency_key(
    headers: &HeaderMap,
    caller: impl Into<String>,
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| Problem::field("Idempotency-Key", FieldFault::NotText))?;
    IdempotencyKey::new(caller, text).map(Some)
}
