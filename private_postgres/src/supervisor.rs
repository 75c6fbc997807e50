//! Starts what keeps Postgres running.

use std::path::Path;
use std::process::Stdio;

use crate::error::{ClusterError, Result};
use crate::installation::Postgres;
use crate::place::ClusterHome;
use crate::settings::PORT;

const SUPERVISOR: &str = include_str!("supervisor.sh");

/// Starts the supervisor in a session of its own, so that neither Ctrl-C in this terminal nor the
/// terminal's end reaches it.
pub fn start(postgres: &Postgres, place: &ClusterHome, settings: &[String]) -> Result<()> {
    let mut command = place.command(Path::new("setsid"));
    command
        .args(["sh", "-c", SUPERVISOR, "tollgate-postgres"])
        .arg(postgres.bin())
        .arg(&place.data)
        .arg("-k")
        .arg(&place.socket_folder)
        .args(["-p", &PORT.to_string()]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|source| ClusterError::Spawn {
            program: "setsid".into(),
            source,
        })
}
