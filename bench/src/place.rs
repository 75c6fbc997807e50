//! The folder of a run: its clusters live in it, and nothing of it is left afterwards.

use std::cell::RefCell;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use private_postgres::{Cluster, Durability};
use tokio::time::{Instant, sleep};

/// How long Postgres may take to stop.
const STOP_MAX: Duration = Duration::from_secs(120);

pub struct TestBed {
    folder: PathBuf,
    /// Kept open and locked: two runs at once would measure each other.
    _alone: File,
    clusters: RefCell<Vec<Cluster>>,
}

impl TestBed {
    /// Takes the folder for this run alone, and clears away what a killed run has left in it.
    pub async fn take(folder: &Path) -> Result<Self> {
        let at = || format!("the folder {}", folder.display());
        fs::create_dir_all(folder).with_context(at)?;
        let folder = folder.canonicalize().with_context(at)?;
        let alone = File::open(&folder).with_context(at)?;
        match alone.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run is under way in {}", folder.display())
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(at),
        }
        let place = Self {
            folder,
            _alone: alone,
            clusters: RefCell::default(),
        };
        for name in ["main", "journal", "gateway", "models"] {
            if place.folder.join(name).exists() {
                place.start(name, Durability::Disposable).await?;
            }
        }
        place.clear().await?;
        Ok(place)
    }

    /// Starts a cluster; it runs at least until [`TestBed::leave`].
    pub async fn start(&self, name: &str, durability: Durability) -> Result<Databases> {
        let data_dir = self.folder.join(name);
        let cluster = Cluster::start_with(&data_dir, durability).await?;
        let databases = Databases {
            bin: programs(cluster.folder())?,
            socket_folder: cluster.socket_folder().to_owned(),
            data_dir,
        };
        self.clusters.borrow_mut().push(cluster);
        Ok(databases)
    }

    /// Waits until every cluster has stopped, and removes everything. Whoever else used the
    /// clusters must be gone.
    async fn clear(&self) -> Result<()> {
        for cluster in self.clusters.take() {
            let (folder, sockets) = (
                cluster.folder().to_owned(),
                cluster.socket_folder().to_owned(),
            );
            drop(cluster);
            wait_until_stopped(&folder).await?;
            fs::remove_dir_all(&folder)
                .with_context(|| format!("{} could not be removed", folder.display()))?;
            // It lies in there, or elsewhere where that path is too long.
            drop(fs::remove_dir_all(sockets));
        }
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => fs::remove_dir_all(&path)?,
                false => fs::remove_file(&path)?,
            }
        }
        Ok(())
    }

    /// Clears everything away, the folder too.
    pub async fn leave(self) -> Result<()> {
        self.clear().await?;
        Ok(fs::remove_dir(&self.folder)?)
    }
}

/// Blocks until Postgres and its supervisor are gone: they hold this lock until then.
async fn wait_until_stopped(cluster: &Path) -> Result<()> {
    let deadline = Instant::now() + STOP_MAX;
    let lock = File::open(cluster.join("supervisor.lock"))?;
    while lock.try_lock_shared().is_err() {
        if Instant::now() > deadline {
            bail!("Postgres did not stop: {}", cluster.display());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The folder of Postgres's programs, by the one that is running.
fn programs(cluster: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string(cluster.join("data/postmaster.pid"))?;
    let pid = text.lines().next().context("no postmaster")?;
    let program = fs::read_link(Path::new("/proc").join(pid.trim()).join("exe"))?;
    let bin = program.parent().context("no folder of programs")?;
    for name in ["pgbench", "psql"] {
        if !bin.join(name).is_file() {
            bail!(
                "{name} was not found in {}; install all of Postgres (apt-get install postgresql)",
                bin.display()
            );
        }
    }
    Ok(bin.to_owned())
}

/// A running cluster, as other programs reach it.
#[derive(Debug, Clone)]
pub struct Databases {
    /// Postgres's programs.
    pub bin: PathBuf,
    pub socket_folder: PathBuf,
    /// The server's data folder that this is the cluster of.
    pub data_dir: PathBuf,
}

impl Databases {
    /// For `DATABASE_URL`.
    pub fn url(&self, database: &str) -> String {
        let mut url = format!("postgres:///{database}?user=tollgate&host=");
        for byte in self.socket_folder.as_os_str().as_encoded_bytes() {
            if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
                url.push(char::from(*byte));
            } else {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_any_folder() {
        let databases = Databases {
            bin: PathBuf::new(),
            socket_folder: "/a b/100%/ü".into(),
            data_dir: PathBuf::new(),
        };
        let url = "postgres:///books?user=tollgate&host=/a%20b/100%25/%C3%BC";
        assert_eq!(databases.url("books"), url);
    }
}
