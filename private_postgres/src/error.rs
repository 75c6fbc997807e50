//! What goes wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use thiserror::Error;

/// Why there is no cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    #[error(
        "Postgres was not found. Install it (apt-get install postgresql), name the folder of its programs in TOLLGATE_POSTGRES_BIN, or set DATABASE_URL"
    )]
    PostgresNotFound,
    #[error("{folder} holds no Postgres programs; correct TOLLGATE_POSTGRES_BIN", folder = .0.display())]
    NotAPostgresFolder(PathBuf),
    #[error(
        "the data in {folder} was made by Postgres {made_by}, but only version {found} was found. Install postgresql-{made_by}, or dump and restore", folder = .folder.display()
    )]
    OtherVersion {
        folder: PathBuf,
        made_by: String,
        found: String,
    },
    #[error("the program “{0}” was not found. Install util-linux, or set DATABASE_URL")]
    ProgramNotFound(&'static str),
    #[error(
        "Postgres refuses to run as root, and there is no user “postgres” or “nobody” to run it as. Start Tollgate as another user, or set DATABASE_URL"
    )]
    NoUnprivilegedUser,
    #[error(
        "{folder} belongs to another user (id {owner}). Start Tollgate as that user or as root", folder = .folder.display()
    )]
    OtherOwner { folder: PathBuf, owner: u32 },
    #[error("could not {action} {path}: {source}", path = .path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("could not run {program}: {source}", program = .program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("{program} failed ({status}): {output}", program = .program.display())]
    Failed {
        program: PathBuf,
        status: ExitStatus,
        output: String,
    },
    #[error(
        "another process has kept {path} locked for {seconds} seconds while starting or stopping the cluster", path = .path.display()
    )]
    Locked { path: PathBuf, seconds: u64 },
    #[error("Postgres did not start. The last lines of {log}:\n{lines}", log = .log.display())]
    NotReady { log: PathBuf, lines: String },
    #[error("Postgres answered with an error: {0}")]
    Database(#[from] sqlx::Error),
    #[error("“{0}” is not a database name; use a-z, 0-9 and _")]
    NotADatabaseName(String),
}

pub type Result<T> = std::result::Result<T, ClusterError>;

pub fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| ClusterError::File {
        action,
        path,
        source,
    }
}
