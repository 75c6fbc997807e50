mod connect;
mod create;
mod entrance;
mod find;
mod list;

use anyhow::Result;
use clap::Subcommand;
use ledger::Ledger;

use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;
use crate::config::Config;
use connect::how_to_connect;
use create::Create;
use find::find;
use list::list;

#[derive(Debug, Subcommand)]
pub(super) enum SourceCommand {
    /// Create a source, and print what to enter in Dify for it. Its key is shown this once.
    Create(Box<Create>),
    /// List the sources, newest first, with what each delivered last.
    List {
        /// Print a list of {"id","name","entrance","namespace","prefix","settings","createdAt",
        /// "createdBy","revokedAt","lastDelivery"}.
        #[arg(long)]
        json: bool,
    },
    /// Replace a source's key, and print what to enter in Dify instead. The old key ends at once.
    Rotate {
        /// Its name or id.
        #[arg(value_name = "NAME|ID")]
        source: String,
        /// Print {"id","name","entrance","key","signingSecret","enter"}.
        #[arg(long)]
        json: bool,
    },
    /// End a source at once. What it delivered stays.
    Revoke {
        /// Its name or id.
        #[arg(value_name = "NAME|ID")]
        source: String,
    },
}

impl SourceCommand {
    pub(super) async fn run(self, ledger: &Ledger, config: &Config) -> Result<Ending> {
        match self {
            Self::Create(create) => create.run(ledger, config).await,
            Self::List { json } => list(ledger, json).await,
            Self::Rotate { source, json } => {
                let source = find(ledger, &source).await?;
                let key = ledger
                    .rotate_api_key(source.id, &actor())
                    .await
                    .map_err(in_words)?;
                let intro = format!(
                    "The key of “{}” was replaced; the old one opens nothing any more.",
                    source.name
                );
                how_to_connect(&source, &key, config, json, &intro)
            }
            Self::Revoke { source } => {
                let source = find(ledger, &source).await?;
                ledger
                    .revoke_api_key(source.id, &actor())
                    .await
                    .map_err(in_words)?;
                Ok(Ending::ok(format!(
                    "“{}” was revoked; its key opens nothing any more. Remove it from Dify, which would try in vain.",
                    source.name
                )))
            }
        }
    }
}
