//! Finds an installation of Postgres.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::{ClusterError, Result};

/// The programs of one Postgres installation.
pub struct Postgres {
    bin: PathBuf,
}

impl Postgres {
    /// The newest that can read what is in the data folder, if anything is.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing and what to do.
    pub async fn find(data: &Path) -> Result<Self> {
        let made_by = std::fs::read_to_string(data.join("PG_VERSION"))
            .ok()
            .map(|text| text.trim().to_owned());
        if let Some(folder) = std::env::var_os("TOLLGATE_POSTGRES_BIN").filter(|it| !it.is_empty())
        {
            let bin = PathBuf::from(folder);
            let Some(found) = major_version(&bin).await else {
                return Err(ClusterError::NotAPostgresFolder(bin));
            };
            return match made_by {
                Some(made_by) if made_by != found => Err(ClusterError::OtherVersion {
                    folder: data.to_owned(),
                    made_by,
                    found,
                }),
                _ => Ok(Self { bin }),
            };
        }
        let mut newest = None;
        for bin in candidates().await {
            let Some(found) = major_version(&bin).await else {
                continue;
            };
            if made_by.as_ref().is_none_or(|made_by| *made_by == found) {
                return Ok(Self { bin });
            }
            newest.get_or_insert(found);
        }
        match (made_by, newest) {
            (Some(made_by), Some(found)) => Err(ClusterError::OtherVersion {
                folder: data.to_owned(),
                made_by,
                found,
            }),
            _ => Err(ClusterError::PostgresNotFound),
        }
    }

    /// The folder of its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// Folders that may hold Postgres's programs, the likeliest and newest first.
async fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Debian keeps one folder per version.
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<(u32, PathBuf)> = versions
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let version = entry.file_name().to_str()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        found.extend(versions.into_iter().map(|(_, bin)| bin));
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output().await
        && let Ok(text) = String::from_utf8(output.stdout)
        && output.status.success()
    {
        found.push(PathBuf::from(text.trim()));
    }
    if let Some(program) = find_on_path("postgres")
        && let Some(bin) = program.parent()
    {
        found.push(bin.to_owned());
    }
    found
}

/// `15` for a folder with `initdb` and a `postgres` that calls itself `postgres (PostgreSQL) 15.18`.
async fn major_version(bin: &Path) -> Option<String> {
    if !bin.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    let digits = |character: char| character.is_ascii_digit();
    let major: String = version.chars().take_while(|it| digits(*it)).collect();
    (!major.is_empty()).then_some(major)
}

pub fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
