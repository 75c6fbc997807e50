//! The files whose locks decide how long a cluster lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{ClusterError, Result, file_error};
use crate::place::ClusterHome;

/// Held shared by every user of the cluster.
pub const USERS: &str = "cluster.lock";
/// Held by the living supervisor.
pub const SUPERVISOR: &str = "supervisor.lock";
/// Held while a cluster is being started.
pub const START: &str = "start.lock";

/// How long another process may take to start or stop the cluster.
const SECONDS_MAX: u64 = 180;

pub fn open(place: &ClusterHome, name: &str) -> Result<File> {
    let path = place.folder.join(name);
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(file_error("open", &path))?;
    // The supervisor, who may be another user, opens it for writing too.
    if let Some(user) = place.runs_as {
        chown(&path, Some(user.uid), Some(user.gid))
            .map_err(file_error("change the owner of", &path))?;
    }
    Ok(file)
}

pub async fn wait(
    path: &Path,
    lock: impl Fn() -> std::result::Result<(), TryLockError>,
) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(file_error("lock", path)(source)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(ClusterError::Locked {
                    path: path.to_owned(),
                    seconds: SECONDS_MAX,
                });
            }
        }
    }
}

pub fn supervisor_lives(place: &ClusterHome) -> Result<bool> {
    drop(open(place, SUPERVISOR)?);
    Ok(!is_free(&place.folder.join(SUPERVISOR)))
}

pub fn is_free(lock: &Path) -> bool {
    // A shared lock, so that two who look at the same time do not take each other for a supervisor.
    File::open(lock).is_ok_and(|file| file.try_lock_shared().is_ok())
}
