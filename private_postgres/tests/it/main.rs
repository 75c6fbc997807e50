//! The private Postgres, by itself.

#![cfg(test)] // Tells clippy that helpers are test code too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use futures::future::join_all;
use private_postgres::{Cluster, ClusterError, Durability};
use sqlx::{Connection as _, PgConnection};

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("private-postgres")
        .join(format!("{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

async fn start(data_dir: &Path) -> Cluster {
    let started = Cluster::start_with(data_dir, Durability::Disposable).await;
    started.expect("a cluster")
}

async fn answers(cluster: &Cluster) {
    let connection = PgConnection::connect_with(&cluster.options()).await;
    connection
        .expect("a connection")
        .ping()
        .await
        .expect("an answer");
}

/// Whether Postgres and its supervisor are gone.
fn is_stopped(folder: &Path) -> bool {
    let lock = File::open(folder.join("supervisor.lock")).expect("a lock");
    lock.try_lock_shared().is_ok()
}

fn remove(data_dir: &Path, cluster_folder: &Path) {
    fs::remove_dir_all(cluster_folder).expect("removed");
    drop(fs::remove_dir_all(data_dir));
}

#[tokio::test]
async fn those_who_come_at_once_share_one_and_the_last_to_leave_stops_it() {
    let data_dir = folder("cluster-shared");
    let mut clusters = join_all((0..5).map(|_| start(&data_dir))).await;
    for cluster in &clusters {
        answers(cluster).await;
    }
    let last = clusters.pop().expect("a cluster");
    for cluster in clusters {
        cluster.leave().await;
    }
    let folder = last.folder().to_owned();
    assert!(!is_stopped(&folder));
    answers(&last).await;
    last.leave().await;
    assert!(is_stopped(&folder));

    // Whoever comes next starts it again, with the same data.
    let again = start(&data_dir).await;
    answers(&again).await;
    again.leave().await;
    remove(&data_dir, &folder);
}

#[tokio::test]
async fn a_newcomer_never_meets_a_postgres_that_is_stopping() {
    let data_dir = folder("cluster-turns");
    let mut folder = PathBuf::new();
    for _ in 0..10 {
        let cluster = start(&data_dir).await;
        answers(&cluster).await;
        cluster.folder().clone_into(&mut folder);
        // Without waiting: the supervisor may be about to stop it when the next one comes.
        drop(cluster);
    }
    let cluster = start(&data_dir).await;
    cluster.leave().await;
    remove(&data_dir, &folder);
}

#[tokio::test]
async fn a_cluster_that_is_to_be_empty_is_that_only_when_nobody_uses_it() {
    let data_dir = folder("cluster-empty");
    let first = start(&data_dir).await;
    first.create_database("kept").await.expect("a database");
    let joined = Cluster::start_empty(&data_dir).await.expect("a cluster");
    assert!(has_database(&joined, "kept").await);
    first.leave().await;
    let folder = joined.folder().to_owned();
    joined.leave().await;
    let empty = Cluster::start_empty(&data_dir).await.expect("a cluster");
    assert!(!has_database(&empty, "kept").await);
    empty.leave().await;
    remove(&data_dir, &folder);
}

async fn has_database(cluster: &Cluster, name: &str) -> bool {
    PgConnection::connect_with(&cluster.options_for(name))
        .await
        .is_ok()
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_does_not_matter() {
    let parent = folder("cluster-long");
    let data_dir = parent.join("x".repeat(120));
    let cluster = start(&data_dir).await;
    answers(&cluster).await;
    let (folder, socket) = (
        cluster.folder().to_owned(),
        cluster.socket_folder().to_owned(),
    );
    assert!(socket.as_os_str().len() < 93, "{}", socket.display());
    cluster.leave().await;
    remove(&data_dir, &folder);
    drop(fs::remove_dir_all(parent));
    drop(fs::remove_dir_all(socket));
}

#[tokio::test]
async fn an_interrupted_start_is_made_good() {
    let data_dir = folder("cluster-interrupted");
    let cluster = start(&data_dir).await;
    let folder = cluster.folder().to_owned();
    cluster.leave().await;
    // As if the very first start had been killed while it made the data.
    fs::rename(folder.join("data"), folder.join("data.new")).expect("renamed");
    let cluster = start(&data_dir).await;
    answers(&cluster).await;
    assert!(!folder.join("data.new").exists());
    cluster.leave().await;
    remove(&data_dir, &folder);
}

#[tokio::test]
async fn data_of_another_version_is_named() {
    let data_dir = folder("cluster-version");
    let cluster = start(&data_dir).await;
    let folder = cluster.folder().to_owned();
    cluster.leave().await;
    fs::write(folder.join("data/PG_VERSION"), "9\n").expect("written");
    let error = Cluster::start(&data_dir).await.expect_err("an error");
    assert!(
        matches!(&error, ClusterError::OtherVersion { made_by, .. } if made_by == "9"),
        "{error}"
    );
    remove(&data_dir, &folder);
}

#[tokio::test]
async fn whole_pages_in_the_log_are_compressed_as_well_as_this_postgres_can() {
    let data_dir = folder("cluster-log");
    let cluster = Cluster::start(&data_dir).await.expect("a cluster");
    let mut connection = PgConnection::connect_with(&cluster.options())
        .await
        .expect("a connection");
    // Postgres lists only those ways that it was built with; before version 15 it lists none.
    let is_best: bool = sqlx::query_scalar(
        "select setting = case when 'lz4' = any(enumvals) then 'lz4' else 'on' end
        from pg_settings where name = 'wal_compression'",
    )
    .fetch_one(&mut connection)
    .await
    .expect("an answer");
    assert!(is_best);
    connection.close().await.expect("closed");
    let folder = cluster.folder().to_owned();
    cluster.leave().await;
    remove(&data_dir, &folder);
}
