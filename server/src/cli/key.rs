use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use ledger::{Ledger, Scope};
use shared::source::SourceEntrance;

use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Create an API key. It is shown this once; only its hash is kept.
    Create {
        /// What the key is for, as the live monitor and the audit log show it.
        #[arg(long)]
        name: String,
        /// What the key may do.
        #[arg(long)]
        scope: KeyScope,
        /// Refuse deliveries that are not signed with the key's signing secret.
        #[arg(long)]
        require_signature: bool,
        /// Print {"id","key","signingSecret"}.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KeyScope {
    /// Report what messages used.
    Webhook,
    /// Ask for any user's points, and make user tokens.
    Points,
    /// Everything.
    Admin,
}

impl From<KeyScope> for Scope {
    fn from(scope: KeyScope) -> Self {
        match scope {
            KeyScope::Webhook => Self::Entrance(SourceEntrance::Webhook),
            KeyScope::Points => Self::Points,
            KeyScope::Admin => Self::Admin,
        }
    }
}

impl KeyCommand {
    pub(super) async fn run(self, ledger: &Ledger, config: &Config) -> Result<Ending> {
        let Self::Create {
            name,
            scope,
            require_signature,
            json,
        } = self;
        let created = ledger
            .create_api_key(&name, scope.into(), require_signature, &actor())
            .await
            .map_err(in_words)?;
        if json {
            return Ending::json(&created);
        }
        let base = config.base_url();
        let next = match scope {
            KeyScope::Webhook => format!(
                "Post Dify's message_end events to {base}/api/dify/webhook with the header\n  Authorization: Bearer {}",
                created.key
            ),
            KeyScope::Points | KeyScope::Admin => format!(
                "Ask for somebody's points:\n  curl -H 'Authorization: Bearer {}' '{base}/api/user/points/balance?userId=user_789'",
                created.key
            ),
        };
        Ok(Ending::ok(format!(
            "Key “{name}” was created. Both secrets are shown this once:\n\n  key             {}\n  signing secret  {}\n\n{next}",
            created.key, created.signing_secret
        )))
    }
}
