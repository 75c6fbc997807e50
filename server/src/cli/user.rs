use access::sign_in_link;
use anyhow::Result;
use clap::Subcommand;
use ledger::Ledger;
use shared::ids::UserId;

use crate::cli::argument::parsed;
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Print a link that signs a user in to their own page.
    Link {
        /// The user, by the name Dify knows them.
        #[arg(long, value_parser = parsed::<UserId>)]
        user: UserId,
        /// For how long they stay signed in.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
    },
}

impl UserCommand {
    pub(super) async fn run(self, ledger: &Ledger, config: &Config) -> Result<Ending> {
        let Self::Link { user, minutes } = self;
        let session = ledger
            .create_user_session(&user, minutes * 60, &actor())
            .await
            .map_err(in_words)?;
        Ok(Ending::ok(sign_in_link(&config.base_url(), &session.token)))
    }
}
