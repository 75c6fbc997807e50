use std::io;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use ledger::Ledger;

use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum AdminCommand {
    /// Create an administrator, who signs in to the pages.
    Create {
        /// The name to sign in with.
        #[arg(long, default_value = "admin")]
        name: String,
        /// Read the password (12 characters or more) from standard input. Without it, one is made
        /// and shown once.
        #[arg(long)]
        password_stdin: bool,
    },
}

impl AdminCommand {
    pub(super) async fn run(self, ledger: &Ledger, config: &Config) -> Result<Ending> {
        let Self::Create {
            name,
            password_stdin,
        } = self;
        let password = if password_stdin {
            let mut line = String::new();
            io::stdin()
                .read_line(&mut line)
                .context("the password could not be read from standard input")?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        } else {
            generated()?
        };
        ledger
            .create_administrator(&name, &password, &actor())
            .await
            .map_err(in_words)?;
        let sign_in = format!("Sign in at {}/sign-in", config.base_url());
        Ok(Ending::ok(if password_stdin {
            format!("Administrator “{name}” was created.\n{sign_in}")
        } else {
            format!(
                "Administrator “{name}” was created. The password is shown this once:\n\n  {password}\n\n{sign_in}"
            )
        }))
    }
}

/// 120 random bits.
fn generated() -> Result<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).context("the system gave no random bytes")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
