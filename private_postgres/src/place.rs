//! Where a cluster lies, and whom Postgres runs as.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::error::{Result, file_error};
use crate::folder::make_private_folder;
use crate::location;
use crate::user::{SystemUser, effective_user, owner_of, unprivileged_user};

/// A unix socket's whole path has at most 107 bytes, of which `/.s.PGSQL.5432` takes 14.
const SOCKET_FOLDER_BYTES_MAX: usize = 93;

/// Where the cluster lies, and who runs it.
pub struct ClusterHome {
    pub folder: PathBuf,
    pub data: PathBuf,
    pub socket_folder: PathBuf,
    /// Whom Postgres runs as, when that is not the user of this process.
    pub runs_as: Option<SystemUser>,
}

impl ClusterHome {
    pub fn choose(data_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(data_dir).map_err(file_error("create", data_dir))?;
        let data_dir = data_dir
            .canonicalize()
            .map_err(file_error("find", data_dir))?;
        let me = effective_user()?;
        let folder = data_dir.join("postgres");
        let place = if me.uid == 0 {
            Self::choose_as_root(&data_dir, folder)?
        } else {
            let elsewhere = location::read(&data_dir);
            Self::at(elsewhere.unwrap_or(folder), None)
        };
        let owner = place.runs_as.unwrap_or(me);
        make_private_folder(&place.folder, owner)?;
        make_private_folder(&place.socket_folder, owner)?;
        Ok(place)
    }

    fn choose_as_root(data_dir: &Path, folder: PathBuf) -> Result<Self> {
        // Whoever made the data goes on with it.
        if let Some(owner) = owner_of(&folder.join("data")) {
            return Ok(Self::at(folder, Some(owner)));
        }
        let user = unprivileged_user()?;
        if let Some(elsewhere) = location::read(data_dir) {
            let owner = owner_of(&elsewhere.join("data")).unwrap_or(user);
            return Ok(Self::at(elsewhere, Some(owner)));
        }
        if data_dir.ancestors().all(|folder| user.may_enter(folder)) {
            return Ok(Self::at(folder, Some(user)));
        }
        let parent = Path::new("/var/lib/tollgate");
        std::fs::create_dir_all(parent).map_err(file_error("create", parent))?;
        let elsewhere = parent.join(short_hash(data_dir));
        location::write(data_dir, &elsewhere)?;
        Ok(Self::at(elsewhere, Some(user)))
    }

    fn at(folder: PathBuf, runs_as: Option<SystemUser>) -> Self {
        let mut socket_folder = folder.join("run");
        if socket_folder.as_os_str().as_bytes().len() > SOCKET_FOLDER_BYTES_MAX {
            socket_folder = Path::new("/tmp").join(format!("tollgate-{}", short_hash(&folder)));
        }
        Self {
            data: folder.join("data"),
            folder,
            socket_folder,
            runs_as,
        }
    }

    /// A program as the cluster's user, in the cluster's folder, without this process's
    /// environment: secrets stay out of it, and `PG…` variables cannot mislead it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Some(user) = self.runs_as {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    hex::encode(digest.iter().take(6).copied().collect::<Vec<u8>>())
}
