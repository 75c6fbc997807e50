//! Users of the system.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{ClusterError, Result, file_error};

/// A user of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemUser {
    pub uid: u32,
    pub gid: u32,
}

impl SystemUser {
    /// By the permission bits alone; access lists are not considered.
    pub fn may_enter(self, folder: &Path) -> bool {
        std::fs::metadata(folder).is_ok_and(|metadata| {
            let bit = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            metadata.mode() & bit != 0
        })
    }
}

pub fn effective_user() -> Result<SystemUser> {
    let path = Path::new("/proc/self");
    std::fs::metadata(path)
        .map(|metadata| SystemUser {
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
        .map_err(file_error("read", path))
}

pub fn owner_of(folder: &Path) -> Option<SystemUser> {
    let metadata = std::fs::metadata(folder).ok()?;
    (metadata.uid() != 0).then(|| SystemUser {
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

pub fn unprivileged_user() -> Result<SystemUser> {
    let path = Path::new("/etc/passwd");
    let text = std::fs::read_to_string(path).map_err(file_error("read", path))?;
    let find = |name: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(SystemUser { uid, gid })
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .ok_or(ClusterError::NoUnprivilegedUser)
}
