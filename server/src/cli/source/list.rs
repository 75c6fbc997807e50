use std::fmt::Write;

use anyhow::Result;
use ledger::Ledger;

use crate::cli::ending::{Ending, in_words};

pub(super) async fn list(ledger: &Ledger, json: bool) -> Result<Ending> {
    let sources = ledger.sources().await.map_err(in_words)?;
    if json {
        return Ending::json(&sources);
    }
    let mut text = match sources.len() {
        0 => "There are no sources yet. Create one with “tollgate source create”.".to_owned(),
        count => format!("{count} sources."),
    };
    for source in &sources {
        write!(
            text,
            "\n  {}  {}  {}  {}…  namespace {}: ",
            source.id,
            source.name,
            source.entrance.as_str(),
            source.prefix,
            source.namespace
        )?;
        if let Some(at) = source.revoked_at {
            write!(text, "revoked {at}, ")?;
        }
        match &source.last_delivery {
            None => write!(text, "nothing delivered yet")?,
            Some(last) => {
                let (at, outcome) = (last.received_at, last.outcome.as_str());
                write!(text, "last delivery {at} {outcome}")?;
                if let Some(reason) = &last.reason {
                    write!(text, " ({reason})")?;
                }
            }
        }
    }
    Ok(Ending::ok(text))
}
