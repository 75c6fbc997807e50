//! Folders of the cluster's own.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::error::{ClusterError, Result, file_error};
use crate::user::SystemUser;

/// Makes a folder that only `owner` may enter, or checks that it is one.
pub fn make_private_folder(folder: &Path, owner: SystemUser) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            chown(folder, Some(owner.uid), Some(owner.gid))
                .map_err(file_error("change the owner of", folder))?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file_error("create", folder)(error)),
    }
    // Not following a link: in /tmp anybody could have put one here.
    let metadata = std::fs::symlink_metadata(folder).map_err(file_error("read", folder))?;
    if !metadata.is_dir() {
        return Err(file_error("use", folder)(
            io::ErrorKind::NotADirectory.into(),
        ));
    }
    if metadata.uid() != owner.uid {
        return Err(ClusterError::OtherOwner {
            folder: folder.to_owned(),
            owner: metadata.uid(),
        });
    }
    if metadata.mode() & 0o777 != 0o700 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(file_error("restrict", folder))?;
    }
    Ok(())
}

/// It need not be there.
pub fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}
