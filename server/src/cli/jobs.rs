use std::fmt::Write;

use anyhow::Result;
use ledger::Ledger;

use crate::cli::ending::{Ending, in_words};

#[derive(Debug, clap::Args)]
pub(super) struct Jobs {
    /// How many at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a list of {"id","kind","total","done","createdAt","createdBy","finishedAt","error"}.
    #[arg(long)]
    json: bool,
}

impl Jobs {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        let jobs = ledger.jobs(self.limit).await.map_err(in_words)?;
        if self.json {
            return Ending::json(&jobs);
        }
        let mut text = format!("{} jobs.", jobs.len());
        for job in &jobs {
            let state = match (&job.finished_at, &job.error) {
                (_, Some(error)) => format!("failed: {error}"),
                (Some(at), None) => format!("finished {at}"),
                (None, None) => "under way".to_owned(),
            };
            write!(
                text,
                "\n  {}  {}, {} of {} done, begun {} by {}: {state}",
                job.id, job.kind, job.done, job.total, job.created_at, job.created_by
            )?;
        }
        Ok(Ending::ok(text))
    }
}
