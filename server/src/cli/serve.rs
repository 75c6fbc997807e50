use anyhow::Result;

use crate::cli::ending::Ending;
use crate::config::Config;

pub(super) async fn run(config: &Config) -> Result<Ending> {
    crate::serve::run(config).await?;
    Ok(Ending::ok("Tollgate has stopped."))
}
