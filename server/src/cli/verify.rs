use std::fmt::Write;

use anyhow::Result;
use ledger::Ledger;
use shared::ids::UserId;

use crate::cli::argument::parsed;
use crate::cli::ending::{Ending, in_words};

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Check this user's account only.
    #[arg(long, value_name = "USER", value_parser = parsed::<UserId>)]
    account: Option<UserId>,
    /// Walk along all entries from the first one, instead of going on from where the last
    /// verification ended.
    #[arg(long)]
    whole: bool,
    /// Print {"ok", …}.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        let account = self.account.as_ref();
        let report = if self.whole {
            ledger.verify(account).await
        } else {
            ledger.verify_from_checkpoints(account).await
        };
        let report = report.map_err(in_words)?;
        let text = if self.json {
            serde_json::to_string(&report)?
        } else {
            let mut text = format!(
                "{} accounts, {} journal entries and {} charges were checked: ",
                report.count("accounts"),
                report.count("entries"),
                report.count("charges")
            );
            if report.ok {
                text.push_str("every digit is right.");
            } else {
                write!(text, "{} are broken.", report.broken)?;
            }
            for finding in report.findings() {
                let user = finding.user_id.as_deref().unwrap_or("(no user)");
                let entry = finding
                    .entry
                    .map(|entry| format!(", entry {entry}"))
                    .unwrap_or_default();
                write!(text, "\n  {user}{entry}: {}", finding.what)?;
            }
            text
        };
        Ok(Ending {
            text,
            is_ok: report.ok,
        })
    }
}
