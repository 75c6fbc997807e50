//! Request bodies: read within bounds.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use shared::problem::Problem;

/// Larger bodies are refused, where no other limit is named.
pub const BYTES_MAX: usize = 1024 * 1024;
/// How much of a body that is too large is read on, so that its sender, who first writes and then
/// reads, sees the answer instead of a broken connection.
const DISCARDED_BYTES_MAX: usize = 32 * 1024 * 1024;
const SECONDS_MAX: u64 = 30;

/// A body, or as much of it as was kept when it is refused.
pub struct Refused {
    pub problem: Problem,
    pub kept: Vec<u8>,
}

/// Reads a whole body of at most [`BYTES_MAX`].
///
/// # Errors
/// As [`read_up_to`].
pub async fn read(body: Body) -> Result<Vec<u8>, Refused> {
    read_up_to(body, BYTES_MAX).await
}

/// Reads a whole body.
///
/// # Errors
/// `TooLarge`, or `InvalidJson` when it ends early or takes too long.
pub async fn read_up_to(body: Body, bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let mut kept = Vec::new();
    let limit = Duration::from_secs(SECONDS_MAX);
    match tokio::time::timeout(limit, collect(body, bytes_max, &mut kept)).await {
        Ok(Ok(())) => Ok(kept),
        Ok(Err(problem)) => Err(Refused { problem, kept }),
        Err(_) => Err(Refused {
            problem: Problem::InvalidJson {
                detail: format!("the body did not end within {SECONDS_MAX} seconds"),
            },
            kept,
        }),
    }
}

async fn collect(body: Body, bytes_max: usize, kept: &mut Vec<u8>) -> Result<(), Problem> {
    let mut discarded = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::InvalidJson {
            detail: "the connection ended before the body did".to_owned(),
        })?;
        if discarded == 0 && kept.len() + chunk.len() <= bytes_max {
            kept.extend_from_slice(&chunk);
            continue;
        }
        discarded += chunk.len();
        if discarded > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if discarded == 0 {
        Ok(())
    } else {
        Err(Problem::TooLarge {
            bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
        })
    }
}
