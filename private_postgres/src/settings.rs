//! How Postgres is set.

use std::process::Stdio;

use crate::error::{ClusterError, Result};
use crate::installation::Postgres;
use crate::place::ClusterHome;

/// The superuser and the database inside the cluster.
pub const NAME: &str = "tollgate";
pub const PORT: u16 = 5432;

/// What survives a power cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything that was committed.
    #[default]
    Full,
    /// Nothing that matters: for the throw-away clusters of tests.
    Disposable,
}

const ALWAYS: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_line_prefix=%m [%p] ",
    "log_checkpoints=off",
    // The statements of the ledger are its own; parameters would put people's data into the log.
    "log_parameter_max_length_on_error=0",
];

const FULL: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    // The first change of a page after a checkpoint writes the whole page into the log, and a
    // ledger changes pages at random places: the less often there is a checkpoint, the less is
    // written. This is about the most that the log takes from the disk while much is written;
    // afterwards it becomes smaller again.
    "max_wal_size=4GB",
];

const DISPOSABLE: &[&str] = &[
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_wal_size=1GB",
];

/// Every setting of a cluster, as `name=value`.
pub async fn of(
    postgres: &Postgres,
    place: &ClusterHome,
    durability: Durability,
) -> Result<Vec<String>> {
    let mut settings = vec![shared_buffers()];
    settings.extend(ALWAYS.iter().map(|it| (*it).to_owned()));
    let more = match durability {
        Durability::Full => {
            settings.push(wal_compression(postgres, place).await?);
            FULL
        }
        Durability::Disposable => DISPOSABLE,
    };
    settings.extend(more.iter().map(|it| (*it).to_owned()));
    Ok(settings)
}

/// Whole pages in the log are compressed: by LZ4, which costs the least time, or else as this
/// Postgres can. It can from version 15 on and only where it was built with it, so it is asked: it
/// refuses a setting that it does not know.
async fn wal_compression(postgres: &Postgres, place: &ClusterHome) -> Result<String> {
    let lz4 = "wal_compression=lz4";
    let program = postgres.program("postgres");
    let status = place
        .command(&program)
        .arg("-D")
        .arg(&place.data)
        .args(["-C", "wal_compression", "-c", lz4])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .map_err(|source| ClusterError::Spawn { program, source })?;
    Ok(match status.success() {
        true => lz4.to_owned(),
        false => "wal_compression=on".to_owned(),
    })
}

/// An eighth of the memory that this process may use, within what helps and what any machine has: a
/// ledger's indexes are read at random places, and what is not in here is copied in and out again for
/// each message.
fn shared_buffers() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let machine = memory.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    // Of a container, in the two ways in which Linux tells it; “max” is no limit.
    let limits = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limits = limits.map(|file| read(file).trim().parse().ok());
    let bytes = limits.into_iter().chain([machine]).flatten().min();
    let mib = (bytes.unwrap_or(0) / 1024 / 1024 / 8).clamp(128, 1024);
    format!("shared_buffers={mib}MB")
}
