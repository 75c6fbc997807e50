use anyhow::{Result, bail};
use ledger::{Ledger, SourceSummary};
use uuid::Uuid;

use crate::cli::ending::in_words;

/// The source of a name or id that is not revoked.
pub(super) async fn find(ledger: &Ledger, name: &str) -> Result<SourceSummary> {
    let id: Option<Uuid> = name.parse().ok();
    let mut found: Vec<SourceSummary> = ledger
        .sources()
        .await
        .map_err(in_words)?
        .into_iter()
        .filter(|source| source.name == name || Some(source.id) == id)
        .collect();
    if found.iter().all(|source| source.revoked_at.is_some()) {
        bail!(match found.is_empty() {
            true => format!("there is no source “{name}”; “tollgate source list” shows them"),
            false => format!("“{name}” is revoked; create a new source instead"),
        });
    }
    found.retain(|source| source.revoked_at.is_none());
    match (found.pop(), found.is_empty()) {
        (Some(source), true) => Ok(source),
        _ => bail!(
            "several sources are called “{name}”; name the one by its id, which “tollgate source list” shows"
        ),
    }
}
