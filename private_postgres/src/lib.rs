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

mod cluster;
mod error;
mod folder;
mod initdb;
mod installation;
mod location;
mod lock;
mod log;
mod place;
mod settings;
mod supervisor;
mod user;

/// How to connect to a database: what [`Cluster::options`] gives.
pub use sqlx::postgres::PgConnectOptions;

pub use cluster::Cluster;
pub use error::ClusterError;
pub use settings::Durability;
