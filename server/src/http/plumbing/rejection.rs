//! What is kept of a body that was refused.

use ledger::{Entrance, Rejection};
use shared::clock::Timestamp;
use shared::problem::Problem;

/// How much of it is kept for the administrator.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A body as it is kept, with why it was refused.
pub fn rejection<'a>(
    entrance: Entrance,
    body: &'a [u8],
    problem: &Problem,
    received_at: Timestamp,
) -> Rejection<'a> {
    Rejection {
        entrance,
        body: body.get(..KEPT_BYTES_MAX).unwrap_or(body),
        received_at,
        code: problem.code(),
        hides_usage: hides_usage(problem),
    }
}

/// Whether somebody may have used tokens that the body failed to tell. What was refused for its
/// key, its signature or its size says nothing of that: whoever sent it can send it again.
const fn hides_usage(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::InvalidJson { .. } | Problem::InvalidField { .. }
    )
}
