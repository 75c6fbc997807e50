//! The note in a data folder whose cluster lies elsewhere.

use std::path::{Path, PathBuf};

use crate::error::{Result, file_error};

const FILE: &str = "postgres-location.txt";
const LABEL: &str = "location: ";

/// Where the cluster of a data folder lies, when that is elsewhere.
pub fn read(data_dir: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
    let location = text.lines().find_map(|line| line.strip_prefix(LABEL))?;
    Some(PathBuf::from(location.trim()))
}

pub fn write(data_dir: &Path, elsewhere: &Path) -> Result<()> {
    let path = data_dir.join(FILE);
    let text = format!(
        "Postgres refuses to run as root, and the user it runs as cannot enter this folder.\n\
         The database of this folder therefore lies elsewhere; back it up with this folder.\n\
         {LABEL}{}\n",
        elsewhere.display()
    );
    std::fs::write(&path, text).map_err(file_error("write", &path))
}
