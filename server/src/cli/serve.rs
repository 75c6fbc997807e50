use anyhow::Result;

use super::Report;
use crate::config::Config;

pub(super) async fn run(config: &Config) -> Result<Report> {
    crate::serve::run(config).await?;
    Ok(Report::ok("Tollgate has stopped."))
}
