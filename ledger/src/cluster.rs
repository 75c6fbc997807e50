//! The private Postgres cluster: found on the system, kept in a folder, reached over a unix socket
//! only, shared by every process that works on the folder, and stopped when the last one is gone.
//!
//! How long it lives is decided by file locks, which the kernel releases however a process ends, so
//! `kill -9` leaves nothing behind:
//!
//! - `cluster.lock`: every user of the cluster holds it **shared**. The supervisor (a small shell
//!   script in a session of its own) waits for it **exclusively**; when it gets it, it stops Postgres.
//! - `supervisor.lock`: held by the living supervisor, so that there is at most one.
//! - `start.lock`: held while a cluster is being started, so that newcomers start it once.
//!
//! Postgres refuses to run as root. When Tollgate runs as root, Postgres runs as an unprivileged user.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};
pub use sqlx::postgres::PgConnectOptions;
use sqlx::postgres::PgSslMode;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use thiserror::Error;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const SUPERVISOR: &str = include_str!("cluster/supervisor.sh");

/// The superuser and the database inside the cluster.
const NAME: &str = "tollgate";
const PORT: u16 = 5432;

/// A unix socket's whole path has at most 107 bytes, of which `/.s.PGSQL.5432` takes 14.
const SOCKET_FOLDER_BYTES_MAX: usize = 93;

/// Long enough for crash recovery of a busy ledger.
const READY_SECONDS_MAX: u64 = 120;
/// Failed starts in a row after which waiting longer is pointless.
const FAILED_STARTS_MAX: usize = 8;
/// How long another process may take to start or stop the cluster.
const LOCK_SECONDS_MAX: u64 = 180;
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LOG_LINES_SHOWN: usize = 12;

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
        "another process has kept {path} locked for {LOCK_SECONDS_MAX} seconds while starting or stopping the cluster", path = .0.display()
    )]
    Locked(PathBuf),
    #[error("Postgres did not start. The last lines of {log}:\n{lines}", log = .log.display())]
    NotReady { log: PathBuf, lines: String },
    #[error("Postgres answered with an error: {0}")]
    Database(#[from] sqlx::Error),
    #[error("“{0}” is not a database name; use a-z, 0-9 and _")]
    NotADatabaseName(String),
}

type Result<T> = std::result::Result<T, ClusterError>;

/// What survives a power cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything that was committed.
    #[default]
    Full,
    /// Nothing that matters: for the throw-away clusters of tests.
    Disposable,
}

impl Durability {
    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Full => &["fsync=on", "synchronous_commit=on", "wal_compression=off"],
            Self::Disposable => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
            ],
        }
    }
}

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "max_wal_size=1GB",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_line_prefix=%m [%p] ",
    "log_checkpoints=off",
    // The statements of the ledger are its own; parameters would put people's data into the log.
    "log_parameter_max_length_on_error=0",
];

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

/// A running cluster; it keeps running at least until this is dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    socket_folder: PathBuf,
    /// The shared lock: while this file is open, Postgres stays.
    users: File,
}

impl Cluster {
    /// Joins the cluster of a data folder, and starts it, or makes it, when it is not there.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing and what to do.
    pub async fn start(data_dir: &Path) -> Result<Self> {
        Self::start_with(data_dir, Durability::Full).await
    }

    /// Whether a data folder has a cluster, also one that only another user may enter. Changes nothing.
    #[must_use]
    pub fn exists(data_dir: &Path) -> bool {
        let elsewhere = read_location(data_dir);
        let folders = [Some(data_dir.join("postgres")), elsewhere];
        folders.into_iter().flatten().any(|folder| {
            let version = std::fs::metadata(folder.join("data/PG_VERSION"));
            version.map_or_else(
                |error| error.kind() == io::ErrorKind::PermissionDenied,
                |_| true,
            )
        })
    }

    /// As [`Cluster::start`]. The durability is that of whoever starts Postgres; those who join
    /// later take it as it is.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing and what to do.
    pub async fn start_with(data_dir: &Path, durability: Durability) -> Result<Self> {
        Self::begin(data_dir, durability, false).await
    }

    /// A disposable cluster that those share who come while it is in use. For the first one it is
    /// empty: nothing is left of earlier times.
    ///
    /// # Errors
    /// [`ClusterError`] says what is missing and what to do.
    pub async fn start_empty(data_dir: &Path) -> Result<Self> {
        Self::begin(data_dir, Durability::Disposable, true).await
    }

    async fn begin(data_dir: &Path, durability: Durability, empty: bool) -> Result<Self> {
        for program in ["flock", "setsid"] {
            if find_on_path(program).is_none() {
                return Err(ClusterError::ProgramNotFound(program));
            }
        }
        let place = Place::choose(data_dir)?;
        let users = open_lock(&place, "cluster.lock")?;
        wait_for_lock(&place.folder.join("cluster.lock"), || {
            users.try_lock_shared()
        })
        .await?;
        let starting = open_lock(&place, "start.lock")?;
        wait_for_lock(&place.folder.join("start.lock"), || starting.try_lock()).await?;

        let is_stopped = !supervisor_lives(&place)?;
        // One whose supervisor was killed goes on with its data: its Postgres may still run.
        if is_stopped && empty && !place.data.join("postmaster.pid").exists() {
            remove_folder(&place.data)?;
        }
        let log = Log::open_at_end(&place)?;
        if is_stopped {
            let postgres = Postgres::find(&place.data).await?;
            if !place.data.join("PG_VERSION").exists() {
                postgres.initialise(&place, durability).await?;
            }
            spawn_supervisor(&postgres, &place, durability)?;
        }
        let cluster = Self {
            socket_folder: place.socket_folder.clone(),
            folder: place.folder,
            users,
        };
        cluster.wait_until_ready(&log).await?;
        cluster.create_database(NAME).await?;
        Ok(cluster)
    }

    /// How to connect to the database `tollgate`.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.options_for(NAME)
    }

    /// How to connect to any database of the cluster.
    #[must_use]
    pub fn options_for(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_folder)
            .port(PORT)
            .username(NAME)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Creates a database unless it exists, and says how to connect to it.
    ///
    /// # Errors
    /// [`ClusterError::NotADatabaseName`], or what Postgres answered.
    pub async fn create_database(&self, database: &str) -> Result<PgConnectOptions> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if database.is_empty() || !database.bytes().all(is_plain) {
            return Err(ClusterError::NotADatabaseName(database.to_owned()));
        }
        let mut connection = self.options_for("postgres").connect().await?;
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(database)
                .fetch_one(&mut connection)
                .await?;
        if !exists {
            // The name consists of plain characters only, as checked above.
            sqlx::query(AssertSqlSafe(format!("create database \"{database}\"")))
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        Ok(self.options_for(database))
    }

    /// The folder of the cluster: its data, locks and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the socket, for whoever connects by a URL.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.socket_folder
    }

    /// Leaves the cluster and, if nobody else uses it, waits until Postgres has stopped. Dropping
    /// leaves it too, but does not wait; where the end of this process ends all others with it (a
    /// container), waiting spares Postgres a crash recovery.
    pub async fn leave(self) {
        let Self { folder, users, .. } = self;
        drop(users);
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut shared_by_others = 0;
        while Instant::now() < deadline && shared_by_others < 5 {
            if is_free(&folder.join("supervisor.lock")) {
                return;
            }
            // While the supervisor stops Postgres it has the exclusive lock. That a shared one is
            // granted all the time means that somebody else has one.
            let users = File::open(folder.join("cluster.lock"));
            if users.is_ok_and(|users| users.try_lock_shared().is_ok()) {
                shared_by_others += 1;
            } else {
                shared_by_others = 0;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_until_ready(&self, log: &Log) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        loop {
            match PgConnection::connect_with(&self.options_for("postgres")).await {
                Ok(connection) => {
                    connection.close().await?;
                    return Ok(());
                }
                Err(_) if Instant::now() < deadline && log.failed_starts() < FAILED_STARTS_MAX => {
                    sleep(Duration::from_millis(30)).await;
                }
                Err(_) => {
                    return Err(ClusterError::NotReady {
                        lines: log.last_lines(),
                        log: log.path.clone(),
                    });
                }
            }
        }
    }
}

/// Starts the supervisor in a session of its own, so that neither Ctrl-C in this terminal nor the
/// terminal's end reaches it.
fn spawn_supervisor(postgres: &Postgres, place: &Place, durability: Durability) -> Result<()> {
    let mut command = place.command(Path::new("setsid"));
    command
        .args(["sh", "-c", SUPERVISOR, "tollgate-postgres"])
        .arg(&postgres.bin)
        .arg(&place.data)
        .arg("-k")
        .arg(&place.socket_folder)
        .args(["-p", &PORT.to_string()]);
    command.args(["-c", &shared_buffers()]);
    for setting in SETTINGS.iter().chain(durability.settings()) {
        command.args(["-c", setting]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|source| ClusterError::Spawn {
            program: "setsid".into(),
            source,
        })
}

/// Where the cluster lies, and who runs it.
struct Place {
    folder: PathBuf,
    data: PathBuf,
    socket_folder: PathBuf,
    /// Whom Postgres runs as, when that is not the user of this process.
    runs_as: Option<Account>,
}

impl Place {
    fn choose(data_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(data_dir).map_err(file_error("create", data_dir))?;
        let data_dir = data_dir
            .canonicalize()
            .map_err(file_error("find", data_dir))?;
        let me = effective_user()?;
        let folder = data_dir.join("postgres");
        let place = if me.uid == 0 {
            Self::choose_as_root(&data_dir, folder)?
        } else {
            let elsewhere = read_location(&data_dir);
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
        let account = unprivileged_account()?;
        if let Some(elsewhere) = read_location(data_dir) {
            let owner = owner_of(&elsewhere.join("data")).unwrap_or(account);
            return Ok(Self::at(elsewhere, Some(owner)));
        }
        if data_dir.ancestors().all(|folder| account.may_enter(folder)) {
            return Ok(Self::at(folder, Some(account)));
        }
        let parent = Path::new("/var/lib/tollgate");
        std::fs::create_dir_all(parent).map_err(file_error("create", parent))?;
        let elsewhere = parent.join(short_hash(data_dir));
        write_location(data_dir, &elsewhere)?;
        Ok(Self::at(elsewhere, Some(account)))
    }

    fn at(folder: PathBuf, runs_as: Option<Account>) -> Self {
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
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Some(account) = self.runs_as {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

const LOCATION_FILE: &str = "postgres-location.txt";
const LOCATION_LABEL: &str = "location: ";

fn read_location(data_dir: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(data_dir.join(LOCATION_FILE)).ok()?;
    let location = text
        .lines()
        .find_map(|line| line.strip_prefix(LOCATION_LABEL))?;
    Some(PathBuf::from(location.trim()))
}

fn write_location(data_dir: &Path, elsewhere: &Path) -> Result<()> {
    let path = data_dir.join(LOCATION_FILE);
    let text = format!(
        "Postgres refuses to run as root, and the user it runs as cannot enter this folder.\n\
         The database of this folder therefore lies elsewhere; back it up with this folder.\n\
         {LOCATION_LABEL}{}\n",
        elsewhere.display()
    );
    std::fs::write(&path, text).map_err(file_error("write", &path))
}

/// A user of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// By the permission bits alone; access lists are not considered.
    fn may_enter(self, folder: &Path) -> bool {
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

fn effective_user() -> Result<Account> {
    let path = Path::new("/proc/self");
    std::fs::metadata(path)
        .map(|metadata| Account {
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
        .map_err(file_error("read", path))
}

fn owner_of(folder: &Path) -> Option<Account> {
    let metadata = std::fs::metadata(folder).ok()?;
    (metadata.uid() != 0).then(|| Account {
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

fn unprivileged_account() -> Result<Account> {
    let path = Path::new("/etc/passwd");
    let text = std::fs::read_to_string(path).map_err(file_error("read", path))?;
    let find = |name: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Account { uid, gid })
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .ok_or(ClusterError::NoUnprivilegedUser)
}

/// Makes a folder that only `owner` may enter, or checks that it is one.
fn make_private_folder(folder: &Path, owner: Account) -> Result<()> {
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

/// The programs of one Postgres installation.
struct Postgres {
    bin: PathBuf,
}

impl Postgres {
    async fn find(data: &Path) -> Result<Self> {
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

    /// Makes the data folder, at once: an interrupted attempt leaves only a `data.new`.
    async fn initialise(&self, place: &Place, durability: Durability) -> Result<()> {
        let new = place.folder.join("data.new");
        remove_folder(&new)?;
        let program = self.bin.join("initdb");
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

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Postgres's log, from the moment this process came.
struct Log {
    path: PathBuf,
    begin: u64,
}

impl Log {
    fn open_at_end(place: &Place) -> Result<Self> {
        let path = place.folder.join("postgres.log");
        let mut begin = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if begin > LOG_BYTES_MAX && !supervisor_lives(place)? {
            let old = path.with_extension("log.1");
            std::fs::rename(&path, &old).map_err(file_error("rename", &path))?;
            begin = 0;
        }
        Ok(Self { path, begin })
    }

    fn text(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.begin))?;
            file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(unreadable: {error})"),
        }
    }

    fn failed_starts(&self) -> usize {
        self.text().matches("tollgate: postgres ended").count()
    }

    fn last_lines(&self) -> String {
        let mut lines = VecDeque::new();
        for line in self.text().lines() {
            if lines.len() == LOG_LINES_SHOWN {
                lines.pop_front();
            }
            lines.push_back(format!("  {line}\n"));
        }
        lines.into_iter().collect()
    }
}

fn open_lock(place: &Place, name: &str) -> Result<File> {
    let path = place.folder.join(name);
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(file_error("open", &path))?;
    // The supervisor, who may be another user, opens it for writing too.
    if let Some(account) = place.runs_as {
        chown(&path, Some(account.uid), Some(account.gid))
            .map_err(file_error("change the owner of", &path))?;
    }
    Ok(file)
}

async fn wait_for_lock(
    path: &Path,
    lock: impl Fn() -> std::result::Result<(), TryLockError>,
) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(LOCK_SECONDS_MAX);
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(file_error("lock", path)(source)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(ClusterError::Locked(path.to_owned())),
        }
    }
}

fn supervisor_lives(place: &Place) -> Result<bool> {
    drop(open_lock(place, "supervisor.lock")?);
    Ok(!is_free(&place.folder.join("supervisor.lock")))
}

fn is_free(lock: &Path) -> bool {
    // A shared lock, so that two who look at the same time do not take each other for a supervisor.
    File::open(lock).is_ok_and(|file| file.try_lock_shared().is_ok())
}

fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// It need not be there.
fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| ClusterError::File {
        action,
        path,
        source,
    }
}
