//! Makes the data of a new cluster.

use std::process::Stdio;

use crate::error::{ClusterError, Result, file_error};
use crate::folder::remove_folder;
use crate::installation::Postgres;
use crate::place::ClusterHome;
use crate::settings::{Durability, NAME};

/// Makes the data folder, at once: an interrupted attempt leaves only a `data.new`.
pub async fn run(postgres: &Postgres, place: &ClusterHome, durability: Durability) -> Result<()> {
    let new = place.folder.join("data.new");
    remove_folder(&new)?;
    let program = postgres.program("initdb");
    let mut command = place.command(&program);
    command
        .arg("--pgdata")
        .arg(&new)
        .args(["--username", NAME, "--encoding", "UTF8", "--no-locale"])
        // The socket lies in a folder that only its owner may enter.
        .args(["--auth-local", "trust", "--auth-host", "reject"])
        .stdin(Stdio::null());
    if durability == Durability::Disposable {
        command.arg("--no-sync");
    }
    let output = command
        .output()
        .await
        .map_err(|source| ClusterError::Spawn {
            program: program.clone(),
            source,
        })?;
    if !output.status.success() {
        return Err(ClusterError::Failed {
            program,
            status: output.status,
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    std::fs::rename(&new, &place.data).map_err(file_error("rename", &new))
}
